"""How large an image, a recording or a window of readings may be."""

from pydantic import Field

from app.media import DecodeLimits
from app.setting_groups.group import Group
from models.decode_audio import AudioLimits
from models.decode_sensors import SensorLimits
from models.image_guards import ImageLimits


class Files(Group):
    """Limits on what is decoded."""

    max_image_bytes: int = Field(20_000_000, ge=1024, description="Largest image file, in bytes.")
    max_image_pixels: int = Field(50_000_000, ge=1, description="Largest image, in pixels (width x height).")
    max_audio_bytes: int = Field(20_000_000, ge=1024, description="Largest recording, in bytes.")
    max_audio_seconds: float = Field(60.0, gt=0, description="Longest recording, in seconds.")
    max_audio_channels: int = Field(8, ge=1, description="Most channels of a recording, mixed down to one.")
    max_audio_rate_hz: int = Field(192_000, ge=4_000, description="Most samples a second of a recording.")
    max_sensor_channels: int = Field(256, ge=1, description="Most channels of sensors in one item.")
    max_sensor_steps: int = Field(4096, ge=1, description="Longest window of a channel, in steps.")

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

    def max_file_bytes(self, modality: str) -> int:
        """Largest file of a modality that comes in files: image or audio."""
        return self.max_image_bytes if modality == "image" else self.max_audio_bytes
