"""What `feed.options` may say to Alpaca."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class AlpacaOptions(BaseModel):
    """`feed.options` of Alpaca; the keys as ${NAME}."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api_key: str
    secret_key: str
    feed: Literal["iex", "sip"] = "iex"
    url_override: str | None = None  # of REST
    stream_url_override: str | None = None
