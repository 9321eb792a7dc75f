"""What all messages share: frozen, keyword-only, JSON on the wire, tolerant of unknown fields.

Only definitions live in `stream_al.messages`: no decision, no arithmetic, no I/O. Units are in the
names. A message that we *write* always carries `schema_version`; one that people write need not.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

SCHEMA_VERSION = 1

Features = dict[str, Any]
"""Name → number, boolean, text, category or vector (a list of numbers)."""


_set = object.__setattr__


class Message(BaseModel):
    """Base of every message: immutable, and deaf to fields that it does not know.

    Attributes
    ----------
    WHOLE
        Names of all fields: what is set of a message that we make ourselves. One for a class, and
        never changed: its messages share it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    WHOLE: ClassVar[set[str]] = set()

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Note the fields of a new kind of message."""
        super().__pydantic_init_subclass__(**options)
        cls.WHOLE = set(cls.model_fields)

    @classmethod
    def of_valid(cls, fields: dict[str, Any]) -> Self:
        """Return the message with `fields`, all of them and unchecked; the dict becomes its own.

        For what we make ourselves once an event: it saves two thirds of the cost of checking.

        Examples
        --------
        >>> made = Source.of_valid({"partition": 0, "offset": 17})
        >>> made == Source(partition=0, offset=17), made.model_dump(exclude_unset=True)
        (True, {'partition': 0, 'offset': 17})
        """
        message = cls.__new__(cls)
        _set(message, "__dict__", fields)
        _set(message, "__pydantic_fields_set__", cls.WHOLE)
        _set(message, "__pydantic_extra__", None)
        _set(message, "__pydantic_private__", None)
        return message

    def to_wire(self) -> bytes:
        """Return the message as one JSON object in UTF-8."""
        return self.__pydantic_serializer__.to_json(self)


class _Made(ModelMetaclass):
    """Makes messages of which every field is set, those left at their defaults too."""

    def __call__(cls, *args: Any, **fields: Any) -> Any:  # noqa: N805 - a class is what it is of
        made = super().__call__(*args, **fields)
        _set(made, "__pydantic_fields_set__", made.WHOLE)
        return made


class OwnMessage(Message, metaclass=_Made):
    """A message that we make: `model_dump(exclude_unset=True)` has all of it.

    What is read from JSON is as it came. People make the other kinds (`Event`, `Label`) too, and of
    those what they left out is not set.
    """


class Source(OwnMessage):
    """The place of a record in a topic that the context names."""

    partition: int
    offset: int


def query_id_of(event_id: str) -> str:
    """Return the query's id: a function of the event's, so that a second record is the same query.

    Examples
    --------
    >>> query_id_of("p-1") == query_id_of("p-1")
    True
    >>> len(query_id_of("p-1"))
    24
    """
    return blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
