"""Settings of the service: variables of the environment or of a file, INTERMODAL_<NAME>, each also a flag.

Units stand in names. A wrong value is refused at start, with the remedy."""

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.file_url import AllowedHosts
from app.keys import Keys, parse_keys, read_entries
from app.media import DecodeLimits
from app.settings_file import DEFAULT_FILE
from models.cores import usable_cores
from models.decode_audio import AudioLimits
from models.decode_sensors import SensorLimits
from models.image_guards import ImageLimits
from models.occlusion import Detail

PREFIX = "INTERMODAL_"
PROGRAM = "python -m app"
MODEL_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]*(@[1-9][0-9]*)?"
ORIGIN_PATTERN = r"https?://[^\s,/*]+"
WORKERS_ON_A_CARD = 2
MAX_SECONDS = 1e8  # three years: what an event loop can wait for


class Settings(BaseSettings):
    """Serve a trained model over HTTP."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # compose passes a variable on as an empty one
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,  # a clock that runs out never is no clock
        cli_prog_name=PROGRAM,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is every interface.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    root_path: str = Field("", description="Path under which a proxy serves this, e.g. /intermodal.")
    forwarded_allow_ips: str = Field(
        "", description="Proxies whose X-Forwarded-For and -Proto are believed: addresses, networks, or *."
    )
    cors_origins: str = Field(
        "",
        pattern=rf"^\s*(\*|{ORIGIN_PATTERN}(\s*,\s*{ORIGIN_PATTERN})*)?\s*$",
        description="Sites whose pages may ask, e.g. https://shop.example,http://localhost:3000, or *.",
    )
    api_keys: str = Field(
        "", repr=False, description="SHA-256 of each API key (python -m app hash-key), or name:SHA-256, by commas."
    )
    api_keys_file: Path | None = Field(None, description="File with more of them, one a line.")
    require_key: Literal["writes", "all", "none"] = Field(
        "writes", description="What needs a key: writes from other machines, all but health and the page, or none."
    )
    checkpoints: Path = Field(Path("checkpoints"), description="Folder of trained models, <name>/<version>.")
    data: Path = Field(Path("data"), description="Folder for what the service keeps: the galleries.")
    galleries: Literal["live", "seed"] = Field(
        "live", description="live: galleries that change, kept in the data folder; seed: those of the checkpoints."
    )
    database_url: str = Field(
        "",
        repr=False,
        pattern=r"^(postgres(ql)?://\S+)?$",
        description="PostgreSQL with pgvector for live galleries that replicas share; empty: the data folder.",
    )
    models: str = Field(
        "",
        pattern=rf"^\s*({MODEL_PATTERN}(\s*,\s*{MODEL_PATTERN})*)?\s*$",
        description="Models, e.g. fashion,digits@2,digits@1: the first is the default, the first of a name its "
        "current version. Empty: the newest of each.",
    )
    poll_seconds: float = Field(
        0.0, ge=0, description="Time between looks for newer versions of models without @version; 0 is never."
    )
    load_timeout_seconds: float = Field(
        300.0, gt=0, description="Time to read and try a version that is loaded later, before it is refused."
    )
    checkpoint_sha256: str | None = Field(
        None, pattern=r"^[0-9a-fA-F]{64}$", description="SHA-256 that the checkpoint's config.json must have."
    )
    engine: Literal["auto", "onnx", "torch"] = Field(
        "auto", description="What computes: onnx on a CPU, torch on a GPU; auto chooses."
    )
    compile: bool = Field(
        False, description="Compile the torch engine's image encoder, beside the traffic; takes minutes."
    )
    num_workers: int = Field(
        0, ge=0, le=256, description="Inference threads; 0 is one for each core, or two on a GPU."
    )
    num_threads: int = Field(1, ge=1, le=256, description="Threads inside one operator, for each worker.")
    max_batch_items: int = Field(32, ge=1, le=4096, description="Waiting items that one forward pass takes.")
    max_batch_pixels: int = Field(
        200_704, ge=1, description="Pixels that one forward pass takes, of images as the model sees them."
    )
    max_batch_tokens: int = Field(1024, ge=1, description="Tokens of texts that one forward pass takes.")
    max_batch_frames: int = Field(
        12_000,
        ge=1,
        description="Features of recordings that one forward pass takes: mostly 100 for a second.",
    )
    max_batch_readings: int = Field(
        65_536, ge=1, description="Readings of sensors that one forward pass takes, gaps included."
    )
    max_batch_wait_ms: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Time a batch waits to be fuller, where arrivals promise it. For GPUs.",
    )
    engine_timeout_seconds: float = Field(
        10.0,
        gt=0,
        description="Time for a forward pass, before its worker is given up; for decoding and a search too.",
    )
    max_connections: int = Field(1000, ge=1, description="Connections open at once; one more is refused (503).")
    max_head_bytes: int = Field(
        65_536, ge=1024, description="Request line and headers, in bytes; longer ones are refused (431)."
    )
    head_timeout_seconds: float = Field(10.0, gt=0, description="Time for them to arrive (408).")
    send_timeout_seconds: float = Field(
        30.0, gt=0, description="Time for a client to take 64 kB of its answer, or the rest; then it is cut off."
    )
    max_queue_items: int = Field(256, ge=1, description="Items that may wait before requests are refused (429).")
    max_body_bytes: int = Field(32_000_000, ge=1024, description="Largest request body, in bytes.")
    max_pending_bytes: int = Field(
        256_000_000,
        ge=1024,
        description="Bytes of all bodies and long answers held at once, before requests are refused (429).",
    )
    max_drained_bytes: int = Field(
        256_000_000, ge=0, description="Bytes of a refused body that are read and dropped, before it is cut off."
    )
    drain_timeout_seconds: float = Field(10.0, ge=0, description="Time to read and drop them.")
    max_form_parts: int = Field(
        64, ge=16, description="Most parts in a form, or fields in a query; more are refused (400)."
    )
    spool_bytes: int = Field(
        1_000_000, ge=0, description="Bytes of a file that stay in memory; a larger one waits in a temporary file."
    )
    max_json_values: int = Field(
        250_000, ge=16, description="Most values in a JSON body, counted as commas and brackets."
    )
    max_image_bytes: int = Field(20_000_000, ge=1024, description="Largest image file, in bytes.")
    max_image_pixels: int = Field(50_000_000, ge=1, description="Largest image, in pixels (width x height).")
    max_audio_bytes: int = Field(20_000_000, ge=1024, description="Largest recording, in bytes.")
    max_audio_seconds: float = Field(60.0, gt=0, description="Longest recording, in seconds.")
    max_audio_channels: int = Field(8, ge=1, description="Most channels of a recording, mixed down to one.")
    max_audio_rate_hz: int = Field(192_000, ge=4_000, description="Most samples a second of a recording.")
    max_sensor_channels: int = Field(256, ge=1, description="Most channels of sensors in one item.")
    max_sensor_steps: int = Field(4096, ge=1, description="Longest window of a channel, in steps.")
    max_streams: int = Field(64, ge=1, description="Live streams open at once; one more is refused (429).")
    max_stream_seconds: float = Field(3600.0, gt=0, description="Longest live stream, in seconds of sound.")
    stream_idle_seconds: float = Field(30.0, gt=0, description="Time that a live stream may send nothing.")
    max_generated_tokens: int = Field(128, ge=1, le=4096, description="Most tokens of a text that is written.")
    max_generation_beams: int = Field(8, ge=1, le=64, description="Most beams of a text that is written.")
    max_generation_rows: int = Field(
        32, ge=1, le=1024, description="Rows that a thread writes at once; each beam of a text is one."
    )
    max_stop_strings: int = Field(4, ge=1, le=64, description="Most strings of which each ends a text.")
    keep_alive_seconds: float = Field(
        10.0, gt=0, description="Silence of a stream of text, before a comment keeps its connection open."
    )
    max_text_characters: int = Field(10_000, ge=1, description="Longest text, in characters.")
    max_item_json_bytes: int = Field(
        65_536, ge=64, description="Labels and metadata of an item of a gallery, in bytes of JSON."
    )
    max_items_per_batch: int = Field(1000, ge=1, description="Most items in one /predict/batch.")
    max_matches_per_batch: int = Field(
        50_000, ge=1, description="Most matches that all items of a batch may ask for together."
    )
    max_top_k: int = Field(1000, ge=1, description="Most matches that a request may ask for.")
    explain_cells: int = Field(
        7,
        ge=0,
        le=16,
        description="Rows and columns of an explanation's heat map; 0 is none.",
    )
    max_explain_words: int = Field(
        32, ge=0, le=512, description="Words that an explanation leaves out in turn; of more, several at once."
    )
    url_hosts: str = Field(
        "",
        description="Hosts that files may be fetched from by URL, e.g. img.shop.example,*.cdn.example; * is any "
        "public one. Empty: none.",
    )
    url_timeout_seconds: float = Field(10.0, gt=0, description="Time to fetch a file by URL (504).")
    max_url_fetches: int = Field(16, ge=1, le=1024, description="Files fetched by URL at once; others wait.")
    request_timeout_seconds: float = Field(
        30.0, gt=0, description="Time for an answer, before it is given up (504)."
    )
    shutdown_timeout_seconds: int = Field(20, ge=0, description="Time for open requests when the service stops.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message logged."
    )

    log_format: Literal["json", "text"] = Field("json", description="A line of the log, on stderr.")
    settings_file: Path = Field(
        DEFAULT_FILE, description="File with lines of VARIABLE=value, read where it is there; see doctor."
    )

    @field_validator("*")
    @classmethod
    def _not_for_ever(cls, value: object) -> object:
        if isinstance(value, float) and value > MAX_SECONDS:
            raise ValueError(f"Input should be less than or equal to {MAX_SECONDS:,.0f}")
        return value

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for part in split(value):
            if part != "*":
                ipaddress.ip_network(part)
        return value

    @field_validator("url_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        AllowedHosts.parse(split(value))
        return value

    @field_validator("api_keys")
    @classmethod
    def _hashes(cls, value: str) -> str:
        parse_keys(value.split(","))
        return value

    @field_validator("api_keys_file")
    @classmethod
    def _file_of_hashes(cls, value: Path | None) -> Path | None:
        if value is not None:
            parse_keys(read_entries(value))
        return value

    @model_validator(mode="after")
    def _someone_may_ask(self) -> Self:
        if self.require_key == "all" and not self.keys:
            raise ValueError(
                "INTERMODAL_REQUIRE_KEY (--require-key) is 'all', and there is no key. Make one with "
                "python -m app hash-key --generate, and set INTERMODAL_API_KEYS to its hash."
            )
        return self

    @field_validator("root_path")
    @classmethod
    def _one_leading_slash(cls, value: str) -> str:
        stripped = value.strip("/")
        return f"/{stripped}" if stripped else ""

    @cached_property
    def keys(self) -> Keys:
        """The API keys of both settings."""
        return parse_keys(
            [*self.api_keys.split(","), *(read_entries(self.api_keys_file) if self.api_keys_file else ())]
        )

    @cached_property
    def allowed_hosts(self) -> AllowedHosts:
        """The hosts that files may be fetched from."""
        return AllowedHosts.parse(split(self.url_hosts))

    @property
    def decode_limits(self) -> DecodeLimits:
        """What is refused before an input is decoded."""
        return DecodeLimits(
            ImageLimits(max_bytes=self.max_image_bytes, max_pixels=self.max_image_pixels),
            AudioLimits(
                max_bytes=self.max_audio_bytes,
                max_seconds=self.max_audio_seconds,
                max_channels=self.max_audio_channels,
                max_rate_hz=self.max_audio_rate_hz,
            ),
            SensorLimits(max_channels=self.max_sensor_channels, max_steps=self.max_sensor_steps),
        )

    @property
    def detail(self) -> Detail:
        """How finely is explained."""
        return Detail(self.explain_cells, self.max_explain_words)

    def max_file_bytes(self, modality: str) -> int:
        """Largest file of a modality that comes in files: image or audio."""
        return self.max_image_bytes if modality == "image" else self.max_audio_bytes

    @property
    def wanted_models(self) -> list[tuple[str, int | None]]:
        """The models to serve, as (name, version); None is the newest version. Empty: every model found."""
        wanted = []
        for part in split(self.models):
            name, _, version = part.partition("@")
            wanted.append((name, int(version) if version else None))
        return wanted

    @property
    def stuck_seconds(self) -> float:
        """How long decoding, a forward pass or a search may take: nobody waits beyond a request's own time."""
        return min(self.engine_timeout_seconds, self.request_timeout_seconds)

    def workers(self, *, on_cpu: bool = True) -> int:
        """Inference threads: on a CPU, so that workers times threads do not exceed the cores by default.

        On a card two: one collates while the other's batch is computed, and each holds memory of the card.
        """
        if not on_cpu:
            return self.num_workers or WORKERS_ON_A_CARD
        return self.num_workers or max(1, usable_cores() // self.num_threads)


def split(value: str) -> list[str]:
    """The parts of a list by commas, without blanks."""
    return [part.strip() for part in value.split(",") if part.strip()]


def flag(field: str) -> str:
    """The flag of a setting: `max_top_k` is `--max-top-k`."""
    return f"--{field.replace('_', '-')}"
