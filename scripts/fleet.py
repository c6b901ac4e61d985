#!/usr/bin/env python3
"""Measures a cockpit over a fleet of Rollouts on a real API server, from outside, through a terminal.

usage: fleet.py BINARY [--rows 10000] [--cluster DIR] [--patches 200] [--keys 200] [--seconds 20]

Without --cluster a bare control plane (etcd and API server, no controllers) is started in a scratch
directory and removed at the end. The Rollouts have `replicas: 0` and their status is written here:
a tenth is in flight, half of those paused; one, `probe`, is degraded, so that it stands on the screen.

Prints one JSON object: times in ms, CPU in per cent of a core, memory in MiB (proportional share of
all processes of the program), with the floors that a raw client has beside them:

  list      draining the raw LIST, as pages of 500
  first     from the start of the program to the first frame with rows, and to the one with all of them
  memory    once all are shown
  idle      bytes and CPU while nothing changes
  patch     a status patch acknowledged -> changed bytes on the terminal; at a raw watch reader
  bytes     to the terminal for a change of one row
  load      CPU, and a key's time, while 100 rows change each second
  key       a key -> its first byte
"""
import argparse, base64, fcntl, http.client, json, os, pty, re, select, shutil, signal, ssl, struct, subprocess, sys
import tempfile, termios, threading, time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent.parent
CLUSTER = HERE / "tests" / "cluster" / "cluster"
ROLLOUTS = "/apis/argoproj.io/v1alpha1"
NAMESPACES = 20
COLUMNS, LINES = 120, 36


class Api:
    """One kept-alive connection to the API server, as the administrator."""

    def __init__(self, dir):
        config = json.loads((dir / "admin.kubeconfig").read_text())
        cluster = config["clusters"][0]["cluster"]
        self.address = urlsplit(cluster["server"])
        self.context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self.headers = {"Authorization": "Bearer " + config["users"][0]["user"]["token"]}
        self.dir = dir
        self.connection = self.connect()

    def connect(self):
        return http.client.HTTPSConnection(self.address.hostname, self.address.port, context=self.context, timeout=60)

    def send(self, method, path, body=None, kind="application/json"):
        text = None if body is None else json.dumps(body)
        self.connection.request(method, path, text, {**self.headers, "Content-Type": kind})
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.status >= 300 and answer.status != 409:
            sys.exit(f"{method} {path}: {answer.status}: {data[:300]!r}")
        return data

    def status(self, namespace, name, status):
        path = f"{ROLLOUTS}/namespaces/{namespace}/rollouts/{name}/status"
        self.send("PATCH", path, {"status": status}, "application/merge-patch+json")

    def drain(self):
        """All Rollouts, in pages, as any client has to read them. Gives milliseconds and bytes."""
        begun, more, size = time.monotonic(), "", 0
        while True:
            page = self.send("GET", f"{ROLLOUTS}/rollouts?limit=500{more}")
            size += len(page)
            token = json.loads(page)["metadata"].get("continue")
            if not token:
                return (time.monotonic() - begun) * 1000, size
            more = f"&continue={token}"


def place(index):
    return f"team-{index % NAMESPACES:02}", f"service-{index:06}"


def rollout(name, index):
    labels = {"app": name}
    pause = lambda weight: [{"setWeight": weight}, {"pause": {}}]
    container = {"name": "main", "image": f"registry.example/{name}:1.{index % 40}.0", "ports": [{"containerPort": 8080}]}
    return {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            "strategy": {"canary": {"steps": pause(5) + pause(25) + pause(50)}},
        },
    }


def status(index, round=0):
    moving, paused = index % 10 == 0, index % 20 == 0
    stable, now = f"{index:08x}", "2026-01-01T00:00:00Z"
    told = {
        "observedGeneration": "1", "stableRS": stable, "currentPodHash": f"{index + 1:08x}" if moving else stable,
        "phase": "Paused" if paused else "Progressing" if moving else "Healthy",
        "message": f"CanaryPauseStep {round}" if moving else f"round {round}" if round else "",
        "currentStepIndex": (index // 10 + round) % 6 if moving else 6,
        "conditions": [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": f"round {round}",
                        "lastUpdateTime": now, "lastTransitionTime": now}],
    }
    if paused:
        told |= {"pauseConditions": [{"reason": "CanaryPauseStep", "startTime": now}], "controllerPause": True}
    return told


def degraded(round):
    """The probe: in flight and not well; the version that it comes from, first in the list, is another each time."""
    letter = "abcdefghij"[round % 10]
    text = f"{letter * 12} {round}"
    now = "2026-01-01T00:00:00Z"
    return {
        "observedGeneration": "1", "stableRS": letter * 4, "currentPodHash": "zzzz", "currentStepIndex": 1,
        "phase": "Degraded", "message": text,
        "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": text,
                        "lastUpdateTime": now, "lastTransitionTime": now}],
    }


def populate(dir, rows, threads=8):
    api = Api(dir)
    for index in range(NAMESPACES):
        name = f"team-{index:02}"
        api.send("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    probe = rollout("probe", 0)
    api.send("POST", f"{ROLLOUTS}/namespaces/team-00/rollouts", probe)
    api.status("team-00", "probe", degraded(0))

    def some(first):
        own = Api(dir)
        for index in range(first, rows - 1, threads):
            namespace, name = place(index)
            own.send("POST", f"{ROLLOUTS}/namespaces/{namespace}/rollouts", rollout(name, index))
            own.status(namespace, name, status(index))
    each([lambda first=first: some(first) for first in range(threads)])


def each(works):
    threads = [threading.Thread(target=work) for work in works]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]


class Screen:
    """What a terminal would show: text only, and of the sequences those that place it."""
    PART = re.compile(rb"\x1b\[([?<>=]?)([0-9;:]*)[ -/]*([@-~])|\x1b\].*?(?:\x07|\x1b\\)|\x1b[^\[\]]|\r|\n|[^\x1b\r\n]+", re.S)

    def __init__(self):
        self.rows = [[" "] * COLUMNS for _ in range(LINES)]
        self.x = self.y = 0

    def feed(self, data):
        for part in self.PART.finditer(data):
            text = part.group(0)
            if part.group(3) and not part.group(1):
                self.control(part.group(3), [int(n or 0) for n in part.group(2).decode().replace(":", ";").split(";")])
            elif text == b"\r":
                self.x = 0
            elif text == b"\n":
                self.y = min(self.y + 1, LINES - 1)
            elif not text.startswith(b"\x1b"):
                for char in text.decode(errors="replace"):
                    if self.x < COLUMNS and self.y < LINES:
                        self.rows[self.y][self.x] = char
                    self.x += 1

    def control(self, name, numbers):
        first = numbers[0] if numbers else 0
        if name == b"H":
            self.y, self.x = max(first, 1) - 1, (max(numbers[1], 1) if len(numbers) > 1 else 1) - 1
        elif name == b"C":
            self.x += max(first, 1)
        elif name == b"J" and first == 2:
            self.rows = [[" "] * COLUMNS for _ in range(LINES)]

    def text(self):
        return "\n".join("".join(row) for row in self.rows)


class Cockpit:
    """The program in a terminal."""

    def __init__(self, binary, kubeconfig, scratch):
        self.screen, self.bytes, self.begun = Screen(), 0, time.monotonic()
        settings = {name: f"{scratch}/{name}" for name in ("CONFIG", "DATA", "STATE", "RUNTIME")}
        environment = {f"FLIGHTDECK_{name}_DIR": path for name, path in settings.items()}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({**environment, "KUBECONFIG": str(kubeconfig), "TERM": "xterm-256color", "COLORTERM": "truecolor"})
            os.execv(binary, [binary])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

    def read(self, timeout):
        """Bytes that came, and when; none within the time."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return b"", time.monotonic()
        now = time.monotonic()
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:
            data = b""
        if not data:
            sys.exit("the program has ended:\n" + self.screen.text())
        self.bytes += len(data)
        self.screen.feed(data)
        return data, now

    def until(self, what, pattern, deadline):
        end, wanted = time.monotonic() + deadline, re.compile(pattern)
        while not wanted.search(self.screen.text()):
            if time.monotonic() > end:
                sys.exit(f"{what} was not seen within {deadline} s:\n{self.screen.text()}")
            self.read(0.05)
        return (time.monotonic() - self.begun) * 1000

    def quiet(self, seconds=0.15, limit=10.0):
        """Until nothing has come for so long."""
        last, end = time.monotonic(), time.monotonic() + limit
        while time.monotonic() - last < seconds and time.monotonic() < end:
            if self.read(0.02)[0]:
                last = time.monotonic()

    def press(self, key):
        """Milliseconds to the first byte."""
        begun = time.monotonic()
        os.write(self.fd, key.encode())
        data, at = self.read(1.0)
        return (at - begun) * 1000 if data else None

    def processes(self):
        todo, all = [self.pid], []
        while todo:
            pid = todo.pop()
            all.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                todo += [int(child) for child in task.read_text().split()]
        return all

    def cpu(self):
        """Seconds, user and system."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.processes()]
        return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        lines = [line for pid in self.processes() for line in open(f"/proc/{pid}/smaps_rollup")]
        return {name: round(sum(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024, 1) for name in ("Pss:", "Rss:")}

    def end(self):
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


class Watch(threading.Thread):
    """A raw reader of the watch: when each message of the probe arrived."""

    def __init__(self, dir):
        super().__init__(daemon=True)
        self.api, self.seen = Api(dir), {}
        page = json.loads(self.api.send("GET", f"{ROLLOUTS}/rollouts?limit=1"))
        self.version = page["metadata"]["resourceVersion"]
        self.start()

    def run(self):
        connection = self.api.connect()
        connection.request("GET", f"{ROLLOUTS}/rollouts?watch=1&resourceVersion={self.version}", headers=self.api.headers)
        answer = connection.getresponse()
        while line := answer.readline():
            now = time.monotonic()
            if b'"name":"probe"' in line:
                self.seen[json.loads(line)["object"]["status"]["message"]] = now


def spread(times):
    times = sorted(times)
    at = lambda share: round(times[min(len(times) - 1, int(len(times) * share))], 2)
    return {"p50": at(0.5), "p99": at(0.99), "max": round(times[-1], 2), "n": len(times)} if times else None


def patches(cockpit, dir, count):
    api, watch = Api(dir), Watch(dir)
    seen, raw, sizes = [], [], []
    for turn in range(1, count + 1):
        cockpit.quiet()
        told, before = degraded(turn), cockpit.bytes
        # The answer is awaited in a thread: bytes may come before it.
        acknowledged = []
        def patch():
            api.status("team-00", "probe", told)
            acknowledged.append(time.monotonic())
        thread = threading.Thread(target=patch)
        thread.start()
        data, at = cockpit.read(5)
        thread.join()
        if not data:
            sys.exit(f"no byte within 5 s of a patch:\n{cockpit.screen.text()}")
        seen.append((at - acknowledged[0]) * 1000)
        cockpit.quiet()
        sizes.append(cockpit.bytes - before)
        end = time.monotonic() + 5
        while told["message"] not in watch.seen and time.monotonic() < end:
            time.sleep(0.001)
        raw.append((watch.seen[told["message"]] - acknowledged[0]) * 1000)
    return {"patch": {"terminal": spread(seen), "raw": spread(raw)}, "bytes": spread(sizes)}


def load(cockpit, dir, rows, seconds, rate=100):
    """So many rows change each second, each another one, while a key is pressed now and then."""
    ended = threading.Event()
    done = []
    def change(offset, threads=4):
        api, begun, sent = Api(dir), time.monotonic(), 0
        while not ended.is_set():
            due = begun + sent * threads / rate
            time.sleep(max(0, due - time.monotonic()))
            index = (sent * threads + offset) * 7919 % (rows - 1)
            api.status(*place(index), status(index, sent + 1))
            sent += 1
        done.append(sent)
    threads = [threading.Thread(target=change, args=(offset,)) for offset in range(4)]
    [thread.start() for thread in threads]
    cpu, size, begun, end = cockpit.cpu(), cockpit.bytes, time.monotonic(), time.monotonic() + seconds
    while time.monotonic() < end:
        cockpit.read(0.05)
    took = time.monotonic() - begun
    told = {"cpu": round((cockpit.cpu() - cpu) / took * 100, 2), "bytes_per_s": round((cockpit.bytes - size) / took)}
    keys = []
    for turn in range(100):
        while cockpit.read(0)[0]:
            pass
        keys.append(cockpit.press("jk"[turn // 10 % 2]))
        cockpit.read(0.03)
    ended.set()
    [thread.join() for thread in threads]
    told["rate"] = round(sum(done) / (time.monotonic() - begun))
    return {"load": told, "key_under_load": spread([key for key in keys if key is not None])}


def measure(binary, dir, args):
    figures = {"rows": args.rows}
    api = Api(dir)
    lists = [api.drain() for _ in range(3)]
    figures["list"] = {"ms": round(min(ms for ms, _ in lists)), "bytes": lists[0][1]}
    with tempfile.TemporaryDirectory(prefix="fleet-") as scratch:
        cockpit = Cockpit(binary, dir / "admin.kubeconfig", scratch)
        try:
            first = cockpit.until("the first row", r"Rollouts \([1-9]", 120)
            whole = cockpit.until("all rows", rf"Rollouts \({args.rows}\)", 300)
            figures["first"] = {"rows": round(first), "all": round(whole), "cpu_s": round(cockpit.cpu(), 2)}
            cockpit.quiet(1, 20)
            figures["memory"] = cockpit.memory()
            size, cpu = cockpit.bytes, cockpit.cpu()
            end = time.monotonic() + 10
            while time.monotonic() < end:
                cockpit.read(0.1)
            figures["idle"] = {"bytes_per_s": (cockpit.bytes - size) / 10, "cpu": round((cockpit.cpu() - cpu) * 10, 2)}
            keys = []
            for round_ in range(args.keys):
                cockpit.quiet(0.03, 1)
                keys.append(cockpit.press("jk"[round_ // 20 % 2]))
            figures["key"] = spread([key for key in keys if key is not None])
            figures |= patches(cockpit, dir, args.patches)
            figures |= load(cockpit, dir, args.rows, args.seconds)
            figures["memory_after"] = cockpit.memory()
            figures["screen"] = cockpit.screen.text().splitlines()
        finally:
            cockpit.end()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--cluster", type=Path)
    parser.add_argument("--patches", type=int, default=200)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=20)
    args = parser.parse_args()
    dir = args.cluster or Path(tempfile.mkdtemp(prefix="fleet-cluster-"))
    try:
        if not args.cluster:
            subprocess.run([sys.executable, CLUSTER, "up", dir, "--bare"], check=True)
        known = json.loads(Api(dir).send("GET", f"{ROLLOUTS}/rollouts?limit=1"))
        if not known["items"]:
            populate(dir, args.rows)
        print(json.dumps(measure(os.path.abspath(args.binary), dir, args), indent=1, ensure_ascii=False))
    finally:
        if not args.cluster:
            subprocess.run([sys.executable, CLUSTER, "down", dir], check=False)
            shutil.rmtree(dir, ignore_errors=True)


if __name__ == "__main__":
    main()
