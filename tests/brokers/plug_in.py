"""The socket broker as an installed package brings it: `broker: {type: socket, options: …}`.

Every submit is a line in the file `log`, so that a test sees what left after a kill.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tests.brokers.socket_broker import SocketBroker

ENTRY_POINTS = "[trader.brokers]\nsocket = tests.brokers.plug_in:SOCKET\n"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    port: int
    log: str = os.devnull
    silence_s: float = 10.0


class LoggedBroker(SocketBroker):
    def __init__(self, options):
        super().__init__(options.port)
        self.silence_s = options.silence_s
        self._log = options.log

    def submit(self, order):
        with open(self._log, "a") as log:
            log.write(f"{order.order_id}\n")
        super().submit(order)


SOCKET = (Options, lambda options, terms: LoggedBroker(options))


def install(folder: Path) -> Path:
    """What an installer leaves: the metadata of a package that names the broker."""
    info = folder / "socket_broker-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: socket-broker\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder
