"""From bytes to labels: the own field names of a labelling tool by dotted paths, or the native one.

A record is read by the configuration's paths when any of them that is not the native name leads
somewhere in it; else as the native label. So the labels of `stream-al label` and `annotate` are
understood beside those of a tool. What is information only never refuses a label: it is null, and
counted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NoReturn

from pydantic import ValidationError

from stream_al.config import LABEL_PATHS, LabelsSection
from stream_al.engine.paths import MISSING, Path, at, decoded, is_given, path_of, quoted
from stream_al.errors import InvalidInput
from stream_al.messages import Label, whole_text

_INFORMATION = ("at_ms", "source", "lead_time_ms")


class LabelReader:
    """Reads labels as the configuration's `labels` section says.

    Attributes
    ----------
    unreadable
        `at_ms`, `source`, `lead_time_ms` → labels read in which it was there and could not be used.

    Examples
    --------
    >>> reader = LabelReader(LabelsSection(event_id="task.id", label="answer.choice"))
    >>> reader.read(b'{"task": {"id": 7}, "answer": {"choice": true}, "annotator": 3}').label
    'true'
    >>> reader.read(b'{"event_id": "p-1", "label": "spam"}').event_id
    'p-1'
    """

    def __init__(self, section: LabelsSection) -> None:
        self._paths: dict[str, Path] = {}
        self._dotted: dict[str, str] = {}
        for name in LABEL_PATHS:
            dotted = getattr(section, name)
            if dotted is not None and dotted != name:
                self._paths[name], self._dotted[name] = path_of(dotted), dotted
        self.unreadable: Counter[str] = Counter(dict.fromkeys(_INFORMATION, 0))

    def read(self, value: bytes) -> Label:
        """Return the label in `value`.

        Raises
        ------
        InvalidInput
            `BrokenJson`, `MissingField` or `WrongType`.
        """
        body = decoded(value)
        mapped = {name: at(body, path) for name, path in self._paths.items()}
        by_paths = any(found is not MISSING for found in mapped.values())
        if not isinstance(body, dict):
            if not by_paths:
                raise InvalidInput(
                    "BrokenJson", f"{quoted(body)} is no JSON object; send one JSON object a record"
                )
            body = {}
        if by_paths:
            body = {name: found for name, found in body.items() if name not in mapped} | {
                name: found for name, found in mapped.items() if found is not MISSING
            }
        try:
            label = Label.model_validate(body)
        except ValidationError as error:
            self._refuse(error, self._dotted if by_paths else {})
        for name in _INFORMATION:
            if getattr(label, name) is None and is_given(body.get(name, MISSING)):
                self.unreadable[name] += 1
        return label

    def event_id(self, value: bytes) -> str | None:
        """Return the id of the event that `value` is about, None when none can be read."""
        try:
            body = decoded(value)
        except InvalidInput:
            return None
        found = at(body, self._paths.get("event_id", ()))
        event_id = whole_text(at(body, ("event_id",)) if found is MISSING else found)
        return event_id if isinstance(event_id, str) and event_id else None

    @staticmethod
    def _refuse(error: ValidationError, dotted: dict[str, str]) -> NoReturn:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "label"
        path = dotted.get(name)
        place = f"`{path}` (labels.{name})" if path else f"`{name}`"
        if first["type"] == "missing":
            raise InvalidInput(
                "MissingField", f"{place} is missing; every label needs it"
            ) from None
        given: Any = first["input"]
        if not first["loc"]:
            given = given.get("label")
        why = str(first["msg"]).removeprefix("Value error, ")
        raise InvalidInput("WrongType", f"{place} is {quoted(given)}: {why}") from None
