"""Rows of a manifest to predictions, one line out for each row in, in order; again where it was interrupted.

Goes through the pipe that serves requests, so a row is answered just as /predict would."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.call import Call
from app.errors import problem_of
from app.media import MEDIA
from app.payload import Inputs, PredictRequest, required
from app.schemas.predict import answer_json
from app.served import Model
from app.service import Service
from app.upload import Upload
from models.errors import ConfigError, InputError
from models.manifest import Record
from retrieval.gallery import Query

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to write of each row: so many labels a head (0 is all), and so many matches."""

    num_labels: int = 1
    num_matches: int = 0


@dataclass
class Scored:
    """How far it is: rows that were there already, rows written, and those of them that are problems."""

    num_kept: int = 0
    num_written: int = 0
    num_faulty: int = 0

    @property
    def num_done(self) -> int:
        """Rows of the manifest that have a line."""
        return self.num_kept + self.num_written


async def score_row(record: Record, service: Service, model: Model, wanted: Wanted) -> Row:
    """`id`, `row` and `status`, and then what /predict answers, or the problem."""
    line: Row = {"id": record.id, "row": record.row}
    try:
        inputs = required(await asyncio.to_thread(_inputs, record, model))
        search = Query(top_k=wanted.num_matches) if wanted.num_matches else None
        request = PredictRequest(inputs=inputs, num_labels=wanted.num_labels, search=search)
        answer = await service.answering.predict(model, request, Call(record=lambda *_: None, admitted=True))
    except Exception as error:  # this row's; the others have nothing to do with it
        problem = problem_of(error, "")
        if problem["status"] == 500:
            raise
        return {**line, "status": problem["status"], "problem": _without_request(problem)}
    found = answer_json(answer, num_labels=wanted.num_labels, coverage=None, request_id="", root_path="")
    if search is None:
        del found["matches"]
    return {**line, "status": 200, **_without_request(found)}


def _without_request(found: Row) -> Row:
    return {name: value for name, value in found.items() if name != "request_id"}


def _inputs(record: Record, model: Model) -> Inputs | None:
    """What the model knows of the row.

    Raises:
        InputError: a file that is not there, or readings that are none.
    """
    given: dict[str, Any] = {}
    for name in MEDIA:
        if (path := record.file(name)) is not None and name in model.modalities:
            try:
                given[name] = Upload.of(path.read_bytes())
            except OSError as error:
                raise InputError(name, f"{error.strerror}: {path.name}. Mend the row's path.") from None
    if record.texts and "text" in model.modalities:
        given["text"] = record.texts[0]
    if "sensors" in model.modalities:
        if record.faults:
            raise InputError(*record.faults[0].split(": ", 1))
        if record.sensors is not None:
            given["sensors"] = record.sensors
    return Inputs(**given) if given else None


async def score_records(
    records: Sequence[Record],
    service: Service,
    model: Model,
    out: Path,
    wanted: Wanted,
    progress: Callable[[Scored], object],
) -> Scored:
    """Append to `out` the lines that it lacks. Several rows are under way at once; lines are in the rows' order.

    Raises:
        ConfigError: `out` holds something else.
    """
    done = Scored(num_kept=keep_lines(out, records, model))
    progress(done)
    busy = 2 * service.pipeline.num_workers * service.settings.max_batch_items
    under_way: deque[asyncio.Task[Row]] = deque()

    async def write_first() -> None:
        line = await under_way.popleft()
        lines.write(json.dumps(line, ensure_ascii=False) + "\n")
        done.num_written += 1
        done.num_faulty += line["status"] != 200
        progress(done)

    with out.open("a", encoding="utf-8") as lines:
        try:
            for record in records[done.num_kept :]:
                under_way.append(asyncio.create_task(score_row(record, service, model, wanted)))
                if len(under_way) >= busy:
                    await write_first()
            while under_way:
                await write_first()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
    return done


def keep_lines(out: Path, records: Sequence[Record], model: Model) -> int:
    """How many rows have their line in `out` already; a last line that was cut short is taken off.

    Raises:
        ConfigError: a line is not of that row, or of another model.
    """
    if not out.exists():
        return 0
    count = size = 0
    with out.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            if not _is_of(line, records[count] if count < len(records) else None, model):
                raise ConfigError(
                    f"{out}:{count + 1}: is no row of this manifest scored by {model.name} {model.version}. "
                    "Name another file with --out, or remove this one."
                )
            count, size = count + 1, size + len(line)
    with out.open("r+b") as file:
        file.truncate(size)
    return count


def _is_of(line: bytes, record: Record | None, model: Model) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return False
    if (
        record is None
        or not isinstance(found, dict)
        or (found.get("id"), found.get("row")) != (record.id, record.row)
    ):
        return False
    own = {"name": model.name, "version": model.version}
    return bool(found.get("model", own) == own)  # a problem names no model
