"""The tables of docs/QUALITY.md: results of runs beside the figures of the recipes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean, pstdev
from typing import Any

SHARES = (0.01, 0.05, 0.10)

Result = dict[str, Any]
Row = Sequence[str]

_MARKED = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_NAMES = {"gate": "gate", "random": "random", "all": "every label"}

# Figures of ALGORITHMS.md and PRESETS.md: accuracy/macro-F1/kappa.
_TEXT_1 = {  # ALGORITHMS §1, "text": columns 1 %, 5 %
    (0, "gate"): ("91.9/82.5/64.9", "97.0/93.5/87.1"),
    (0, "random"): ("89.8/78.7/57.4", "96.5/92.3/84.5"),
    (1_000, "gate"): ("88.0/72.7/45.4", "93.5/84.2/68.5"),
    (1_000, "random"): ("87.8/72.4/45.1", "94.0/85.4/70.8"),
}
_TEXT_ALL = {
    ("linear", 0): "98.9/97.7/95.3",
    ("river", 0): "93.3/81.7/63.8",
    ("linear", 1_000): "96.2/90.9/81.9",
    ("river", 1_000): "91.1/72.9/47.1",
}
_NUMBERS_1 = {
    (0, "gate"): ("66.5/63.0/38.1", "78.9/76.8/58.5"),
    (0, "random"): ("65.3/60.3/32.5", "75.2/72.6/51.4"),
    (1_000, "gate"): ("59.7/53.8/22.7", "66.4/63.0/36.5"),
    (1_000, "random"): ("58.7/52.2/20.3", "65.5/61.9/34.9"),
}
_NUMBERS_ALL = {
    ("linear", 0): "83.8/82.4/67.4",
    ("river", 0): "77.8/75.2/54.9",
    ("linear", 1_000): "71.2/69.1/46.4",
    ("river", 1_000): "66.9/63.6/37.0",
}
_EVERY = (  # ALGORITHMS §3: stream, preset, what it is called there, delay 0, delay 1,000
    ("elec2[:15000]", "river", "elec2, LR", "85.2/84.9", "79.5/79.0"),
    ("elec2[:15000]", "tree", "elec2, HAT", "85.3/85.1", "77.0/76.5"),
    ("weather[:12000]", "river", "weather, LR", "78.5/72.8", "74.9/67.7"),
    ("sms", "river", "SMS, LR", "93.6/83.0", "92.0/76.9"),
)
_GAPS = {  # ALGORITHMS §3
    0: {
        "random": ("7.9/14.1/26.8 ×1.08", "5.0/11.0/20.9 ×1.03", "4.1/10.3/19.5 ×1.01"),
        "best library (BIQF)": ("7.3/9.6/18.7 ×1.00", "3.4/1.9/3.8 ×1.00", "2.2/0.4/0.9 ×1.00"),
        "old rank gate, top": ("5.8/5.8/11.4 ×1.00", "2.6/1.3/2.7 ×1.00", "2.0/0.4/0.9 ×1.00"),
    },
    1_000: {
        "random": ("4.0/9.2/17.0 ×1.08", "1.8/7.0/13.0 ×1.03", "1.3/6.8/12.5 ×1.01"),
        "best library (Split)": ("3.6/8.7/16.2 ×1.44", "1.8/4.9/9.2 ×1.09", "1.0/6.0/10.8 ×1.04"),
        "old rank gate, top": ("3.0/6.7/12.6 ×0.99", "1.3/1.8/3.8 ×1.00", "0.9/1.8/3.5 ×1.00"),
    },
}
_PRESETS_3 = {  # PRESETS §3, mean of three text streams: all, 1 % random, gate, 5 % …, 10 % gate
    ("linear", 0): ("97.7/96.8/93.6", "83.1/75.1/50.6", "83.0/76.8/53.7", "92.5/89.9/79.7",
                    "93.4/90.8/81.5", "93.9/92.0/84.0"),
    ("river", 0): ("92.6/84.8/69.9", "76.8/52.9/10.6", "80.3/61.2/25.7", "82.9/58.9/21.5",
                   "89.5/81.8/64.0", "92.6/88.3/76.5"),
    ("linear", 1_000): ("84.7/78.4/60.0", "76.3/63.4/29", "74.2/60.3/26", "81.1/72.7/48",
                        "79.9/71.5/46", "–"),
    ("river", 1_000): ("79.0/64.9/32.6", "69.5/47.5/-3", "73.0/50.3/6", "72.9/47.6/-1",
                       "72.3/48.9/2", "–"),
}  # fmt: skip
_ESTIMATES_2 = (  # ALGORITHMS §2, ten other streams, 40 runs
    ("*random, 1 %*", "3.3", "-1.3", "98", "8.6", "–", "–", "100"),
    ("*random, 5 %*", "1.6", "-0.5", "100", "3.9", "3.1", "94", "100"),
    ("*gate, 1 %*", "7.5", "-0.2", "98", "17.8", "–", "–", "100"),
    ("*gate, 5 %*", "3.0", "-0.5", "90", "7.5", "5.9", "92", "100"),
)


def with_tables(page: str, results: Sequence[Result]) -> str:
    """Return `page` with the table between each pair of marks made anew from `results`."""

    def table(found: re.Match[str]) -> str:
        lines = [f"| {' | '.join(row)} |" for row in _TABLES[found[2]](Runs(results))]
        lines.insert(1, "|" + "---|" * lines[0].count(" | ") + "---|")
        return found[1] + "\n" + "\n".join(lines) + "\n\n" + found[3]

    return _MARKED.sub(table, page)


class Runs:
    """Results, to be picked by what was run."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._groups: dict[tuple[Any, ...], list[Result]] = {}
        for result in results:
            names = ("stream", "preset", "arm", "share", "delay", "learning_rate")
            self._groups.setdefault(tuple(result[name] for name in names), []).append(result)

    def pick(
        self, stream: str, preset: str, arm: str, share: float, delay: int, *, rate: float | None
    ) -> list[Result]:
        """Return the runs of one group, one for each seed."""
        return self._groups[stream, preset, arm, 1.0 if arm == "all" else share, delay, rate]

    def groups(self, stream: str) -> list[list[Result]]:
        """Return the groups of a stream that have a budget, and a run through the worker."""
        return [
            found
            for key, found in self._groups.items()
            if key[0] == stream
            and key[2] != "all"
            and any(run["through"] == "worker" for run in found)
        ]


def _mean(runs: Sequence[Result], name: str) -> float:
    return fmean(run[name] for run in runs)


def _triple(runs: Sequence[Result]) -> str:
    return "/".join(f"{_mean(runs, name):.1f}" for name in ("accuracy", "macro_f1", "kappa"))


def _with_spread(runs: Sequence[Result]) -> str:
    if len(runs) == 1:
        return _triple(runs)
    accuracy, kappa = (pstdev([run[name] for run in runs]) for name in ("accuracy", "kappa"))
    return f"{_triple(runs)} (±{accuracy:.1f}, ±{kappa:.1f})"


def _learning(stream: str, delay: int) -> Callable[[Runs], Iterator[Row]]:
    text = stream == "sms"
    arms, whole = (_TEXT_1, _TEXT_ALL) if text else (_NUMBERS_1, _NUMBERS_ALL)
    name = "text" if text else "numbers"

    def rows(runs: Runs) -> Iterator[Row]:
        yield "model", "asked by", "1 %", "5 %", "10 %"
        for preset in ("linear", "river"):
            for arm in ("gate", "random"):
                found = [runs.pick(stream, preset, arm, share, delay, rate=None)
                         for share in SHARES]  # fmt: skip
                yield f"`{preset}`", arm, *map(_with_spread, found)
                if preset == "linear":
                    one, five = arms[delay, arm]
                    yield "", f"*ALGORITHMS §1, {name}, {arm}*", f"*{one}*", f"*{five}*", ""
            every = _triple(runs.pick(stream, preset, "all", 1.0, delay, rate=None))
            yield f"`{preset}`", "every label", f"100 %: {every}", "", ""
            reference = whole[preset, delay]
            yield "", f"*ALGORITHMS §1, {name}, every label*", f"*100 %: {reference}*", "", ""

    return rows


def _spend(runs: Runs) -> Iterator[Row]:
    yield "stream", "asked by", "runs", "spend ÷ budget", "worst 1,000 events over ⌈B·1000⌉"
    for stream in ("sms", "elec2"):
        for arm in ("gate", "random"):
            found = [run for group in runs.groups(stream) for run in group if run["arm"] == arm]
            spend = [run["spend"] for run in found]
            over = max(run["window_over"] for run in found)
            yield (stream, arm, f"{len(found)}", f"{min(spend):.3f} to {max(spend):.3f}",
                   f"{over:+.0f}")  # fmt: skip


def _estimates(runs: Runs) -> Iterator[Row]:
    yield ("stream, asked by, budget", "seeds", "labels", "mean abs. error", "bias",
           "covered, %", "half-width", "recall: error", "recall: covered, %",
           "sequence covered, %", "unweighted bias")  # fmt: skip
    picked = [("sms", arm, share, 0) for share in SHARES for arm in ("random", "gate")]
    picked.append(("sms", "gate", 0.05, 1_000))
    picked += [
        ("elec2[:10000]", arm, share, 0) for share in SHARES[:2] for arm in ("random", "gate")
    ]
    for stream, arm, share, delay in picked:
        found = runs.pick(stream, "linear", arm, share, delay, rate=None)
        accuracy, sequence = ([run[name] for run in found] for name in ("estimate", "sequence"))
        recall = [run["recall"] for run in found if run["recall"] is not None]
        enough = len(recall) > len(found) / 2
        late = ", delay 1,000" if delay else ""
        yield (
            f"{stream}, {arm}, {share:.0%}{late}",
            f"{len(found)}",
            f"{_mean(accuracy, 'labels'):.0f}",
            f"{fmean(abs(one['error']) for one in accuracy):.1f}",
            f"{_mean(accuracy, 'error'):+.1f}",
            f"{100 * _mean(accuracy, 'covered'):.0f}",
            f"{_mean(accuracy, 'half_width'):.1f}",
            f"{fmean(abs(one['error']) for one in recall):.1f}" if enough else "too few",
            f"{100 * _mean(recall, 'covered'):.0f}" if enough else "–",
            f"{100 * _mean(sequence, 'covered'):.0f}",
            f"{_mean(found, 'unweighted_error'):+.1f}",
        )
    for name, error, bias, covered, width, recalled, recall_covered, always in _ESTIMATES_2:
        yield (f"ALGORITHMS §2, {name}", "40", "", error, bias, covered, width, recalled,
               recall_covered, always, "-9 to -11" if "gate" in name else "")  # fmt: skip


def _every_label(runs: Runs) -> Iterator[Row]:
    yield "stream, model", "delay 0", "*there*", "delay 1,000", "*there*"
    for stream, preset, name, now, late in _EVERY:
        found = [
            runs.pick(stream, preset, "all", 1.0, delay, rate=_rate(stream, preset))
            for delay in (0, 1_000)
        ]
        ours = ["/".join(_triple(one).split("/")[:2]) for one in found]
        yield name, ours[0], f"*{now}*", ours[1], f"*{late}*"


def _rate(stream: str, preset: str) -> float | None:
    return 0.1 if preset == "river" and stream != "sms" else None


def _gaps(runs: Runs) -> Iterator[Row]:
    yield "delay", "asked by", "1 %", "5 %", "10 %"
    for delay, there in _GAPS.items():
        for arm in ("random", "gate"):
            yield (f"{delay:,}", f"**this {arm}**",
                   *(_gap(runs, arm, share, delay) for share in SHARES))  # fmt: skip
        for name, figures in there.items():
            yield f"*{delay:,}*", f"*{name}*", *(f"*{figure}*" for figure in figures)


def _gap(runs: Runs, arm: str, share: float, delay: int) -> str:
    """Return how far the four baselines are below learning from every label, and the spend."""
    gaps: dict[str, list[float]] = {"accuracy": [], "macro_f1": [], "kappa": []}
    spend = []
    for stream, preset, *_ in _EVERY:
        rate = _rate(stream, preset)
        every = runs.pick(stream, preset, "all", 1.0, delay, rate=rate)
        found = runs.pick(stream, preset, arm, share, delay, rate=rate)
        spend.append(_mean(found, "spend"))
        for name, into in gaps.items():
            into.append(_mean(every, name) - _mean(found, name))
    return "/".join(f"{fmean(gap):.1f}" for gap in gaps.values()) + f" ×{fmean(spend):.2f}"


def _presets_text(runs: Runs) -> Iterator[Row]:
    yield "model, delay", "100 %", "1 % random", "1 % gate", "5 % random", "5 % gate", "10 % gate"
    columns = (("all", 1.0), ("random", 0.01), ("gate", 0.01), ("random", 0.05), ("gate", 0.05),
               ("gate", 0.10))  # fmt: skip
    for (preset, delay), there in _PRESETS_3.items():
        ours = []
        for arm, share in columns:
            streams = [runs.pick(stream, preset, arm, share, delay, rate=None)
                       for stream in ("sms", "youtube", "obfuscated")]  # fmt: skip
            ours.append("/".join(
                f"{fmean(_mean(found, name) for found in streams):.1f}"
                for name in ("accuracy", "macro_f1", "kappa")
            ))  # fmt: skip
        yield f"`{preset}`, {delay:,}", *ours
        yield "*PRESETS §3*", *(f"*{figure}*" for figure in there)


_TABLES: dict[str, Callable[[Runs], Iterator[Row]]] = {
    "sms_0": _learning("sms", 0),
    "sms_1000": _learning("sms", 1_000),
    "elec2_0": _learning("elec2", 0),
    "elec2_1000": _learning("elec2", 1_000),
    "spend": _spend,
    "estimates": _estimates,
    "every_label": _every_label,
    "gaps": _gaps,
    "presets_text": _presets_text,
}
