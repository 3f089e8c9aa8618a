"""What the benchmarks of captions count: texts beside others, streams as they come."""

import asyncio

import pytest

from app.served import Model
from app.service import Service
from app.settings import Settings
from benchmarks.captions.agree import alone, beside_others
from benchmarks.captions.stream import ask, median_of, request
from models.caption import Writing
from tests.fakes import serving
from tests.models.test_captioner import captioner, examples, predictor
from tests.tiny import image_file, picture


def test_texts_beside_others_are_in_the_order_of_their_items() -> None:
    items = examples(6) * 3
    assert beside_others(captioner(), items, Writing()) == alone(captioner(), items, Writing())


async def asked(port: int, data: bytes, times: int = 1) -> list[int]:
    """The tokens of each stream, over one connection."""
    connection = await asyncio.open_connection("127.0.0.1", port)
    try:
        seen = [await ask(connection, data) for _ in range(times)]
    finally:
        connection[1].close()
        await connection[1].wait_closed()
    assert all(first > 0 and rest >= 0 for first, rest, _ in seen)
    return [tokens for *_, tokens in seen]


def test_a_stream_is_read_to_its_end_and_a_refusal_is_no_figure() -> None:
    image = image_file(picture(1), "JPEG")
    with serving(Settings(num_workers=1), lambda settings: Service([Model(predictor())], settings)) as client:
        port = client.base_url.port
        assert asyncio.run(asked(port, request(image, 4), 2)) == [4, 4]
        with pytest.raises(RuntimeError, match="max_tokens"):
            asyncio.run(asked(port, request(image, 0)))


def test_medians_are_of_each_figure() -> None:
    assert median_of([{"a": 1.0}, {"a": 3.0}, {"a": 2.0}]) == {"a": 2.0}
