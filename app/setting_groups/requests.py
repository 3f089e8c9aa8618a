"""How much one request may bring and ask for."""

from pydantic import Field

from app.setting_groups.group import Group
from models.occlusion import Detail


class Requests(Group):
    """Texts, items, matches and explanations."""

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

    @property
    def detail(self) -> Detail:
        """How finely is explained."""
        return Detail(self.explain_cells, self.max_explain_words)
