"""What every part of a specification has in common: frozen, strict, no unknown keys, no NaN."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Base of all specification models: configuration is resolved once and never changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
