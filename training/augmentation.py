"""What training changes at random, by modality."""

from pydantic import Field

from models.config import Config


class Augmentation(Config):
    """What training changes at random. Mirroring doubles the cache of maps; the rest costs next to nothing."""

    mirror: bool = True
    subword_dropout: float = Field(0.1, ge=0, lt=1)
    map_crop: int = Field(
        3, ge=0, description="Cells that a side of a cached map loses to a random window, at most."
    )
    map_mixup: float = Field(
        0.0, ge=0, le=1, description="Chance that the image stage blends a batch with itself, shuffled (mixup)."
    )
    map_cutout: float = Field(0.3, ge=0, le=1, description="Chance that a square of a cached map is blanked.")
    map_noise: float = Field(0.1, ge=0, lt=1, description="Deviation of a cached map's random gain.")
    pixel_crop: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Least share of an image's area that a crop keeps, where no block is frozen; 1: none.",
    )
    pixel_broken: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Chance that an image is what a broken camera sends, noise or one colour, where no block is "
        "frozen: so that a head that predicts its uncertainty learns to be unsure of such.",
    )
    pixel_colour: float = Field(0.2, ge=0, le=1, description="How far its light and colours may go; 0 is none.")
    audio_speed: float = Field(
        0.15, ge=0, le=0.5, description="How much slower or faster a recording is played, at most; pitch follows."
    )
    audio_warp: float = Field(
        0.15, ge=0, le=0.5, description="How far bands move up or down, as in longer and shorter throats (VTLP)."
    )
    audio_noise: float = Field(0.5, ge=0, le=1, description="Chance that noise is added.")
    audio_noise_db: tuple[float, float] = Field(
        (5.0, 35.0), description="By how much the recording is louder than the noise, in dB: from, to."
    )
    audio_tone_db: float = Field(
        8.0,
        ge=0,
        le=40,
        description="Deviation of a random curve over the bands, as of other microphones and rooms, in dB.",
    )
    audio_gain_db: float = Field(12.0, ge=0, le=40, description="Louder or softer by so much, at most.")
    audio_shift_ms: float = Field(
        150.0, ge=0, description="Silence before and after, of at most this length each."
    )
    audio_time_mask: float = Field(
        0.15, ge=0, le=0.5, description="Share of the features' time that two masks blank together, at most."
    )
    audio_band_mask: float = Field(0.2, ge=0, le=0.5, description="The same of the bands.")
    audio_join: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Chance that a batch's recordings go on with others of their speakers, where transcripts are "
        "learnt. Labels are not then: they hold of one.",
    )
    audio_join_most: int = Field(6, ge=2, le=20, description="Recordings that are joined, at most.")
    audio_pause_ms: tuple[float, float] = Field((50.0, 500.0), description="Between joined ones: from, to.")
    audio_variants: int = Field(
        8,
        ge=0,
        le=1000,
        description="Draws of each recording whose frames are kept on disk, if network.audio has a frozen part. "
        "0: a new one each time, at the price of a pass of that part.",
    )
    sensor_noise: float = Field(
        0.05,
        ge=0,
        le=10,
        description="Deviation of what is added to readings, in those of the training rows.",
    )
    sensor_channel_dropout: float = Field(0.1, ge=0, lt=1, description="Chance that a channel is missing.")
    sensor_step_dropout: float = Field(0.0, ge=0, lt=1, description="Chance that a step of a window is missing.")
