"""Fields: what is read, and what each fault says."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.body import AUDIO, IMAGE, FileParser, parse_json
from app.errors import MalformedError, status_of
from app.fields import File, RawFields
from app.form import FormParser
from app.item_payload import read_item
from app.payload import PredictRequest, read_batch, read_predict, read_search
from app.settings import Settings
from app.upload import Upload
from models.errors import InputError, TooLargeError
from retrieval.errors import QueryError

SETTINGS = Settings()


def predict_json(value: object) -> object:
    return read_predict(parse_json(json.dumps(value).encode(), SETTINGS.max_json_values), SETTINGS)


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({}, "image or text or audio or sensors", "at least one"),
        ({"text": "", "image": None}, "image or text or audio or sensors", "at least one"),
        ({"text": 5}, "text", "must be a string, not a number"),
        ({"txet": "red"}, "txet", "Did you mean 'text'?"),
        ({"text": "red", "guess": True}, "guess", "unknown field"),
        ({"sensors": "AAAA"}, "sensors", "must be an object of readings"),
        ({"audio": "not base64!"}, "audio", "not base64"),
        ({"audio": "data:audio/wav;base64,"}, "audio", "empty. Send a recording"),
        ({"image": {"url": "http://x"}}, "image", "URL is switched off"),
        ({"image": {"url": 5, "more": 1}}, "image", "URL is switched off"),
        ({"image": {"path": "x"}}, "image", "base64"),
        ({"image": "not base64!"}, "image", "not base64"),
        ({"image": "AA A="}, "image", "not base64"),
        ({"image": "AAA"}, "image", "not base64"),
        ({"image": "ÄÄÄÄ"}, "image", "not base64"),
        ({"image": "data:image/png,AAAA"}, "image", "data: URI"),
        ({"image": "data:image/png;base64,"}, "image", "empty"),
        ({"text": "red", "num_labels": -1}, "num_labels", "at least 0"),
        ({"text": "red", "num_labels": "5"}, "num_labels", "not a string"),
        ({"text": "red", "num_labels": True}, "num_labels", "not a boolean"),
        ({"text": "red", "coverage": 0}, "coverage", "more than 0 and less than 1"),
        ({"text": "red", "coverage": 1}, "coverage", "more than 0 and less than 1"),
        ({"text": "red", "coverage": -0.5}, "coverage", "more than 0 and less than 1"),
        ({"text": "red", "coverage": 90}, "coverage", "such as 0.9"),
        ({"text": "red", "coverage": "0.9"}, "coverage", "must be a number, not a string"),
        ({"text": "red", "coverage": True}, "coverage", "must be a number, not a boolean"),
        ({"text": "red", "coverage": [0.9]}, "coverage", "must be a number, not a list"),
        ({"text": "red", "top_k": 0}, "top_k", "at least 1"),
        ({"text": "red", "top_k": 1001}, "top_k", "at most 1,000"),
        ({"text": "red", "top_k": 1.5}, "top_k", "whole number"),
        ({"text": "red", "retrieve": "yes"}, "retrieve", "true or false"),
        ({"text": "red", "target": 1}, "target", "must be a string"),
    ],
)
def test_a_faulty_field_is_named_with_the_remedy(fields: dict[str, object], field: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        predict_json(fields)
    assert caught.value.field == field
    assert says in caught.value.detail


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{NaN}", b'{"top_k": NaN}', b'{"a": 1, "a": 2}', b'{"text": "\xff"}']
)
def test_broken_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_json(body, SETTINGS.max_json_values)


def test_deep_or_huge_json_is_malformed_and_not_a_fault_of_ours() -> None:
    for body in (b"[" * 200_000, b'{"filter":' * 100_000, b'{"top_k": ' + b"9" * 5000 + b"}"):
        with pytest.raises(MalformedError):
            parse_json(body, SETTINGS.max_json_values)


@pytest.mark.parametrize("body", [b"[]", b"5", b'"text"', b"null"])
def test_json_that_is_no_object_is_invalid(body: bytes) -> None:
    with pytest.raises(InputError, match="JSON object"):
        parse_json(body, SETTINGS.max_json_values)


def test_base64_and_data_uris_give_the_same_bytes() -> None:
    encoded = base64.b64encode(b"some bytes").decode()
    plain = read_predict(RawFields({"image": encoded}), SETTINGS)
    uri = read_predict(RawFields({"image": f"data:image/png;base64,{encoded}"}), SETTINGS)
    assert image_of(plain) == image_of(uri) == b"some bytes"


def test_text_over_the_limit_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="Shorten"):
        read_predict(RawFields({"text": "a" * 10_001}), SETTINGS)


def form(*parts: tuple[str, bytes], end: bytes = b"--X--\r\n") -> bytes:
    return b"".join(b"--X\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
                    for head, data in parts) + end  # fmt: skip


def parse_form(
    body: bytes, content_type: str, *, piece_bytes: int = 1 << 20, spool_bytes: int = 1 << 20
) -> RawFields:
    parser = FormParser(content_type, spool_bytes, SETTINGS.max_form_parts)
    for start in range(0, len(body), piece_bytes):
        parser.write(body[start : start + piece_bytes])
    return parser.fields()


def parse_image(body: bytes, query: str) -> RawFields:
    parser = FileParser(IMAGE, query, SETTINGS.spool_bytes, SETTINGS.max_form_parts)
    parser.write(body)
    return parser.fields()


def image_of(request: PredictRequest) -> bytes:
    assert request.inputs.image is not None
    return request.inputs.image.read()


def parse(*parts: tuple[str, bytes], end: bytes = b"--X--\r\n") -> RawFields:
    return parse_form(form(*parts, end=end), "multipart/form-data; boundary=X")


def test_a_nameless_file_without_bytes_is_absent_and_a_named_one_is_a_fault() -> None:
    fields = parse(('name="image"; filename=""', b""), ('name="text"', b"red"), ('name="top_k"', b""))
    assert fields.values == {"text": "red"}
    with pytest.raises(InputError, match="empty"):
        read_predict(parse(('name="image"; filename="a.png"', b"")), SETTINGS)
    with pytest.raises(InputError, match="empty"):
        read_predict(parse(('name="text"; filename="a.txt"', b"")), SETTINGS)


def test_a_form_says_what_json_says() -> None:
    fields = parse(
        ('name="image"; filename="a.png"', b"\x00\xff"),
        ('name="text"; filename="note.txt"', "rot ☃".encode()),
        ('name="num_labels"', b"0"),
        ('name="retrieve"', b"True"),
        ('name="top_k"', b"7"),
        ('name="filter"', b'{"labels.colour": "red"}'),
    )
    request = read_predict(fields, SETTINGS)
    assert (image_of(request), request.inputs.text) == (b"\x00\xff", "rot ☃")
    assert request.num_labels == 0
    assert request.search is not None
    assert request.search.top_k == 7
    assert request.search.where is not None


@pytest.mark.parametrize("spool_bytes", [0, 1, 1000, 1 << 20])
@pytest.mark.parametrize("piece_bytes", [1, 7, 1000, 1 << 20])
def test_a_form_may_come_in_pieces_and_its_file_be_spooled(piece_bytes: int, spool_bytes: int) -> None:
    data = bytes(range(256)) * 8 + b"\r\n--" + b"\r\n--Y\r\n" + b"\r\n-"  # much like the boundary
    body = form(('name="image"; filename="a.png"', data), ('name="text"', b"red"))
    fields = parse_form(body, "multipart/form-data; boundary=X", piece_bytes=piece_bytes, spool_bytes=spool_bytes)
    request = read_predict(fields, SETTINGS)
    assert (image_of(request), request.inputs.text) == (data, "red")
    assert image_of(request) == data  # again


def test_a_file_over_a_limit_is_too_large() -> None:
    settings = Settings(max_image_bytes=1024, max_audio_bytes=1024, max_text_characters=10)
    for name, num_bytes in (("image", 1025), ("audio", 1025), ("text", 44)):
        part = (f'name="{name}"; filename="a"', b"x" * num_bytes)
        with pytest.raises(TooLargeError, match="limit"):
            read_predict(parse(part), settings)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (('name="image"', b"photo.png"), "must be a file"),
        (('name="num_labels"', b"five"), "as in JSON"),
        (('name="retrieve"', b"yes"), "as in JSON"),
        (('name="filter"', b"{"), "as in JSON"),
        (('name="filter"', b"[" * 100_000), "as in JSON"),
        (('name="target"; filename="a"', b"\xff"), "UTF-8"),
        (('name="text"', b"blue"), "more than once"),
    ],
)
def test_a_faulty_part_is_named(part: tuple[str, bytes], says: str) -> None:
    with pytest.raises((InputError, QueryError), match=says):
        read_predict(parse(('name="text"', b"red"), part), SETTINGS)


@pytest.mark.parametrize(
    "body",
    [
        form(('name="text"', b"red"), end=b""),
        form(('name="text"', b"\xff")),
        form(("nothing", b"red")),
        b"",
        b"junk",
    ],
)
def test_a_broken_form_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_form(body, "multipart/form-data; boundary=X")


def test_a_form_without_a_boundary_or_with_too_many_parts_is_malformed() -> None:
    with pytest.raises(MalformedError, match="boundary"):
        parse_form(b"", "multipart/form-data")
    with pytest.raises(MalformedError, match="64 parts"):
        parse(*[(f'name="{number}"', b"x") for number in range(65)])


def test_a_bare_image_takes_the_rest_from_the_query() -> None:
    request = read_predict(parse_image(b"png", "text=a+red%20shoe&top_k=2&num_labels="), SETTINGS)
    assert (image_of(request), request.inputs.text) == (b"png", "a red shoe")
    assert request.search is not None
    assert request.search.top_k == 2
    with pytest.raises(InputError, match="more than once"):
        parse_image(b"png", "text=a&text=b")
    with pytest.raises(MalformedError):
        parse_image(b"png", "text=%ff")
    with pytest.raises(InputError, match="empty"):
        read_predict(parse_image(b"", "text=a"), SETTINGS)


def test_a_bare_recording_takes_the_rest_from_the_query() -> None:
    parser = FileParser(AUDIO, "text=hello", SETTINGS.spool_bytes, SETTINGS.max_form_parts)
    parser.write(b"wav")
    inputs = read_predict(parser.fields(), SETTINGS).inputs
    assert inputs.audio is not None
    assert (inputs.audio.read(), inputs.text, inputs.image) == (b"wav", "hello", None)
    assert inputs.modalities == ("text", "audio")
    assert inputs.files == (inputs.audio,)


def test_a_part_of_a_form_with_an_audio_type_is_a_file() -> None:
    head = 'name="audio"\r\nContent-Type: audio/wav'
    audio = read_predict(parse((head, b"\xff\x00")), SETTINGS).inputs.audio
    assert audio is not None
    assert audio.read() == b"\xff\x00"
    with pytest.raises(InputError, match="curl -F audio=@"):
        read_predict(parse(('name="audio"', b"speech.wav")), SETTINGS)


def test_a_batch_keeps_order_and_faults_apart() -> None:
    good, empty, wrong = read_batch(RawFields({"items": [{"text": "red"}, {}, 5]}), SETTINGS)
    assert not isinstance(good, Exception)
    assert isinstance(empty, InputError)
    assert isinstance(wrong, InputError)
    for items in ([], "red", {"text": "red"}):
        with pytest.raises(InputError, match="at least one object"):
            read_batch(RawFields({"items": items}), SETTINGS)
    with pytest.raises(TooLargeError):
        read_batch(RawFields({"items": [{"text": "red"}] * 1001}), SETTINGS)


def test_coverage_is_a_share_or_absent() -> None:
    assert read_predict(RawFields({"text": "red"}), SETTINGS).coverage is None
    assert read_predict(RawFields({"text": "red", "coverage": 0.9}), SETTINGS).coverage == 0.9
    assert read_predict(parse_image(b"png", "coverage=0.95"), SETTINGS).coverage == 0.95
    assert read_predict(parse_image(b"png", "coverage="), SETTINGS).coverage is None
    for value in ("1e400", "1", "0"):
        with pytest.raises(InputError, match="coverage: must be more than 0 and less than 1"):
            read_predict(parse_image(b"png", f"coverage={value}"), SETTINGS)
    with pytest.raises(InputError, match="coverage: '90%' is not valid"):
        read_predict(parse_image(b"png", "coverage=90%25"), SETTINGS)


def test_a_search_is_by_one_kind_of_query() -> None:
    assert read_search(RawFields({"vector": [1, 2.5]}), SETTINGS).vector is not None
    for fields in ({}, {"like": "a", "text": "red"}, {"vector": [1], "like": "a"}):
        with pytest.raises(InputError, match="one of these"):
            read_search(RawFields(fields), SETTINGS)
    for vector in ("1", [True], ["1"], [10**400], {}):
        with pytest.raises(InputError, match="vector"):
            read_search(RawFields({"vector": vector}), SETTINGS)


FILE = File("", Upload.of(b"x"))
names = st.sampled_from(
    [
        "image",
        "text",
        "audio",
        "num_labels",
        "coverage",
        "retrieve",
        "top_k",
        "target",
        "filter",
        "gallery",
        "other",
    ]
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just(File("", Upload.of(b"x"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, json_values), st.binary(), st.text())
def test_arbitrary_fields_raise_only_errors_of_the_caller(
    values: dict[str, object], body: bytes, query: str
) -> None:
    attempts = (
        lambda: read_predict(RawFields(values), SETTINGS),
        lambda: read_predict(parse_json(body, SETTINGS.max_json_values), SETTINGS),
        lambda: read_predict(parse_image(body, query), SETTINGS),
        lambda: parse_form(b"--X\r\n" + body, "multipart/form-data; boundary=X"),
    )
    for attempt in attempts:
        try:
            attempt()
        except Exception as error:  # that it is one of the caller's is what is tested
            assert 400 <= status_of(error) < 500, repr(error)  # noqa: PT017


@pytest.mark.parametrize("name", ["labels", "metadata"])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": [1, Infinity]}', "Infinity is no JSON number"),
        (b'{"a": "1", "a": "2"}', "the name 'a' is given twice"),
        (b'{"a": {"b": 1, "b": 1}}', "the name 'b' is given twice"),
        (b"[" * 10_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid here"),
    ],
)
def test_labels_and_metadata_in_a_form_are_strict_json(name: str, value: bytes, says: str) -> None:
    fields = parse(('name="text"', b"red"), (f'name="{name}"', value))
    with pytest.raises(InputError, match=says) as caught:
        read_item(fields, SETTINGS, "1")
    assert caught.value.field == name


def test_a_batch_may_not_ask_for_too_many_matches_in_all() -> None:
    limited = SETTINGS.model_copy(update={"max_matches_per_batch": 100})

    def read(*counts: int | None) -> list[PredictRequest | Exception]:
        items = [{"text": "red", **({"retrieve": False} if n is None else {"top_k": n})} for n in counts]
        return read_batch(RawFields({"items": items}), limited)

    assert len(read(50, 50, None)) == 3
    assert len(read(1000)) == 1  # as a request of its own would be
    with pytest.raises(
        TooLargeError, match=r"101 matches in all; the limit is 100\. Ask each for fewer"
    ) as caught:
        read(50, 51, None)
    assert caught.value.field == "top_k"
