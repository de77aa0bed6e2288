"""What the venues share: an aiohttp server with lines, faults, a pump of bars and a control page.

GET  /_truth?symbol=S&start=…&end=…    the closed bars, as they are now
POST /_fault  {"name": "drop", "value": true}
GET  /_counts                          requests by path
GET  /_log                             [[fault, value, when by its clock]]
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections import Counter

from aiohttp import WSCloseCode, web

from tests.venue.faults import Faults, play, script
from tests.venue.market import Market

FROZEN_S = 120.0
UPDATES = (0.3, 0.6, 0.9)  # of a bar's time, when the line shows it forming


class Line:
    """One WebSocket and what it has subscribed to."""

    def __init__(self, socket):
        self.socket = socket
        self.wanted = set()
        self.quoted = set()  # symbols whose best bid and ask it wants
        self.kept = None  # a frame that is held back


class Venue:
    """An exchange; a subclass speaks its protocol."""

    name = "venue"
    symbols = ()
    updates = UPDATES
    life_s = None  # after which it ends a line

    def __init__(self, market, faults=None):
        self.market, self.faults = market, faults or Faults()
        self.lines, self.counts, self.delisted = [], Counter(), {}
        self.port = self.opened = 0  # lines ever opened
        self.shown_quotes = {}  # (symbol, open_s) -> [(bid, ask)]

    # what a subclass says

    def routes(self):
        raise NotImplementedError

    def frame(self, symbol, open_s, share, is_closed):
        """One frame of a bar as text; None where this venue sends none."""
        raise NotImplementedError

    def quote_frame(self, symbol, bid, ask):
        """One frame of best bid and ask."""
        raise NotImplementedError

    def last_word(self):
        """That the line ends soon, as Binance says it."""
        return {"e": "serverShutdown", "E": round(self.market.now_s() * 1e3)}

    def frames_closed(self, symbol, open_s):
        """The frames at a close."""
        return [self.frame(symbol, open_s, 1.0, True)]

    def has_line(self, symbol):
        """Whether the line gives what is said of a symbol."""
        is_refused = self.faults.on.get("refused") == symbol
        return symbol in self.symbols and symbol not in self.delisted and not is_refused

    def shown(self, share):
        """How much of the whole bar is traded when `share` of its time has passed."""
        return share

    # running

    def application(self):
        """Its pages and its lines."""
        app = web.Application(middlewares=[self._watched])
        app.add_routes(
            [
                web.get("/_truth", self._truth),
                web.post("/_fault", self._fault),
                web.get("/_counts", self._told),
                web.get("/_log", self._logged),
                *self.routes(),
            ]
        )
        return app

    async def start(self, port=0):
        self._runner = web.AppRunner(self.application(), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self._pump = asyncio.ensure_future(self._pumping())
        return self

    async def stop(self):
        self._pump.cancel()
        for line in list(self.lines):
            await line.socket.close()
        await self._runner.cleanup()

    @web.middleware
    async def _watched(self, request, handler):
        if not request.path.startswith("/_"):
            self.counts[request.path] += 1
            if "freeze" in self.faults and not self.is_line(request):
                await asyncio.sleep(FROZEN_S)
            if "full" in self.faults and self.is_line(request):
                return web.Response(status=503, text="no")
            if "garbled" in self.faults and not self.is_line(request):
                text = self.faults.on["garbled"]
                return web.Response(text=text, content_type="application/json")
            bad = self.faults.status()
            if bad is not None and (
                (bad[0] == 503 and "maintenance" in self.faults) or not self.is_line(request)
            ):
                headers = {} if bad[1] is None else {"Retry-After": str(bad[1])}
                return web.Response(status=bad[0], headers=headers, text="no")
        return await handler(request)

    def is_line(self, request):
        return request.headers.get("Upgrade", "").lower() == "websocket"

    async def _truth(self, request):
        symbol, start, end = (request.query[name] for name in ("symbol", "start", "end"))
        opens = self.market.opens(int(start), int(end))
        done = [at for at in opens if at + self.market.period_s <= self.market.now_s()]
        return web.json_response([[at, *self.market.bar(symbol, at)] for at in done])

    async def _fault(self, request):
        told = await request.json()
        await self.do(told["name"], told.get("value", True))
        return web.json_response({})

    async def _told(self, request):
        return web.json_response(dict(self.counts))

    async def _logged(self, request):
        return web.json_response(self.faults.log)

    async def do(self, name, value=True):
        """Make one fault happen."""
        if name == "drop":
            self.faults.note(name, value)
            for line in list(self.lines):
                line.socket._req.transport.abort()
        elif name == "close":
            self.faults.note(name, value)
            for line in list(self.lines):
                await line.socket.close(code=WSCloseCode.GOING_AWAY)
        elif name == "clock":
            self.market.offset_s = float(value)
        elif name == "delist":
            self.delisted[value] = self.market.now_s()
        elif name == "half":
            for line in list(self.lines):
                await self.put_half(line)
        elif name == "shutdown":
            for line in list(self.lines):
                await self.put(line, self.last_word())
        elif name == "revise":
            await self._revise(value)
        else:
            self.faults.set(name, value)
            if name == "maintenance" and value:
                await self.do("drop")

    async def _revise(self, value):
        """Of each symbol the bar that opened then; `True`: one that closed a bar ago."""
        open_s = int(self.market.now_s()) // self.market.period_s * self.market.period_s
        open_s = open_s - 2 * self.market.period_s if value is True else int(value)
        for symbol in self.symbols:
            if symbol in self.delisted:
                continue
            self.market.revise(symbol, open_s)
            self.faults.note("revise", (symbol, open_s))
            for frame in self.frames_closed(symbol, open_s):
                await self._send(symbol, frame)

    async def _pumping(self):
        period_s = self.market.period_s
        while True:
            now_s = self.market.now_s()
            open_s = int(now_s // period_s) * period_s
            times = [(open_s + share * period_s, share) for share in self.updates]
            times.append((open_s + period_s + 0.01, 1.0))
            due_s, share = next((t for t in times if t[0] > now_s), times[-1])
            await asyncio.sleep(max(due_s - self.market.now_s(), 0.0))
            for symbol in self.symbols:
                if symbol in self.delisted:
                    continue
                if share < 1.0:
                    await self._show_quote(symbol, open_s, share)
                    shown = self.shown(share)
                    await self._send(symbol, self.frame(symbol, open_s, shown, False))
                elif "never_final" not in self.faults:
                    for frame in self.frames_closed(symbol, open_s):
                        await self._send(symbol, frame)
            if share >= 1.0:  # do not meet the same close again
                await asyncio.sleep(max(open_s + period_s + 0.02 - self.market.now_s(), 0.0))

    async def _show_quote(self, symbol, open_s, share):
        lines = [line for line in self.lines if symbol in line.quoted]
        if not lines or "mute" in self.faults or "no_quotes" in self.faults:
            return
        bid, ask = self.market.quote(symbol, open_s, share)
        self.shown_quotes.setdefault((symbol, open_s), []).append((bid, ask))
        for line in lines:
            with contextlib.suppress(ConnectionError):
                await self.put(line, self.quote_frame(symbol, bid, ask))

    async def _send(self, symbol, frame):
        if frame is None or "mute" in self.faults:
            return
        for line in list(self.lines):
            if symbol not in line.wanted:
                continue
            frames = [self.wrapped(line, symbol, frame)]
            if "duplicate" in self.faults:
                frames *= 2
            if "reorder" in self.faults and line.kept is None:
                line.kept = frames
                continue
            if line.kept is not None:
                frames, line.kept = [*frames, *line.kept], None
            for one in frames:
                with contextlib.suppress(ConnectionError):
                    await self.put(line, one)

    def wrapped(self, line, symbol, frame):
        """A frame as this line wants it."""
        return frame

    async def put_half(self, line):
        """The beginning of a frame."""
        await line.socket.send_str('{"stream": "btcusdt@kline_1s", "da')

    async def put(self, line, frame):
        await line.socket.send_str(json.dumps(frame))

    @contextlib.asynccontextmanager
    async def line(self, request):
        """A WebSocket that gets the bars it subscribes to."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        line = Line(socket)
        self.lines.append(line)
        self.opened += 1
        ending = asyncio.ensure_future(self._end_of_life(line))
        try:
            yield line
        finally:
            ending.cancel()
            self.lines.remove(line)

    async def _end_of_life(self, line):
        if self.life_s is not None:
            await asyncio.sleep(self.life_s)
            self.faults.note("end of life", True)
            await line.socket.close(code=WSCloseCode.GOING_AWAY)


def many(count):
    """The names of so many symbols."""
    return tuple(f"C{number:03}USDT" for number in range(count))


def main(make):
    """Run a venue as a program until its stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--period", type=int, default=1, help="seconds of a bar")
    parser.add_argument("--empty", type=float, default=0.0, help="share of bars without a trade")
    parser.add_argument("--offset", type=float, default=0.0, help="its clock is ahead by")
    parser.add_argument("--faults-for", type=float, default=0.0, help="seconds of faults by seed")
    parser.add_argument("--symbols", type=int, default=0, help="so many, of Binance")
    parser.add_argument("--life", type=float, default=None, help="seconds of a line")
    told = parser.parse_args()

    async def run():
        market = Market(told.seed, told.period, told.empty, told.offset)
        names = {"symbols": many(told.symbols)} if told.symbols else {}
        venue = await make(market, **names).start(told.port)
        venue.life_s = told.life
        print(json.dumps({"port": venue.port, "venue": venue.name}), flush=True)
        if told.faults_for:
            playing = asyncio.ensure_future(play(script(told.seed, told.faults_for), venue.do))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        if told.faults_for:
            playing.cancel()
        await venue.stop()

    asyncio.run(run())
