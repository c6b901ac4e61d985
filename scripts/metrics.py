#!/usr/bin/env python3
"""Measures what metrics cost a cockpit: a fleet of services, measured by a real Prometheus that scrapes an exporter.

usage: metrics.py BINARY [--services 2000] [--every 15] [--refreshes 8] [--prometheus PROGRAM]

Rows come from a program of this script (an exec source), a tenth of them canaries; each side has two pods, each with
requests, failures and a histogram of eight buckets. A proxy of this script stands before the Prometheus and counts.
The program is run twice, without and with the Prometheus. Prints one JSON object:

  series      that the Prometheus scrapes
  queries     sent for one refresh (p50, max), and at most how many at once
  bytes       of the answers to one refresh, and those a service
  answered    ms from a refresh's first query to its last answer
  cpu         per cent of a core without and with metrics, the exec program not counted
  memory      MiB, proportional share, without and with
  key         ms to the first byte, without and with
  frame       bytes to the terminal per second, without and with
"""
import argparse, http.client, json, os, socket, subprocess, sys, tempfile, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from fleet import Cockpit, spread  # noqa: E402

BUCKETS = ["0.005", "0.01", "0.05", "0.1", "0.25", "0.5", "1", "+Inf"]

PROGRAM = r'''
import json, sys
services = int(sys.argv[1])
def say(kind, data):
    sys.stdout.write(json.dumps({"type": kind, "data": data}) + "\n")
def arm(role, version, share, pods):
    return {"role": {"type": role}, "version": version, "digest": None, "replicas": {"ready": 2, "desired": 2},
            "traffic": {"desired": share, "actual": share, "how": "acknowledged"}, "pods": {"type": "set", "data": pods}}
def row(n):
    name, canary, now = f"service-{n:05}", n % 10 == 0, "2026-11-30T12:00:00Z"
    arms = [arm("stable", "1.0", 900000 if canary else 1000000, f"{name}-58bb4f")]
    if canary:
        arms.append(arm("candidate", "1.1", 100000, f"{name}-7d5f9c"))
    target = {"source": "fleet", "kind": "app", "namespace": f"team-{n % 20:02}", "name": name, "uid": name}
    steps = [{"type": "set_weight", "data": 100000}, {"type": "pause", "data": None}]
    return {"run": {"target": target, "revision": "1"}, "service": name, "environment": f"team-{n % 20:02}",
            "strategy": "canary", "steps": [], "step": None, "arms": arms,
            "phase": "progressing" if canary else "healthy", "waits": [], "message": "", "started": now, "since": now,
            "author": "fleet", "offers": [], "facts": {"workload": name, "generation": "1"}}
def snapshot():
    say("update", {"type": "snapshot_begin"})
    for n in range(services):
        say("update", {"type": "upsert", "data": {"type": "rollout", "data": row(n)}})
    say("update", {"type": "snapshot_end"})
    sys.stdout.flush()
say("hello", {"wire": 1, "actions": []})
snapshot()
for line in sys.stdin:
    if json.loads(line)["type"] == "snapshot":
        snapshot()
'''


def page(services, begun):
    """What all pods count."""
    seconds, lines = time.time() - begun, []
    for n in range(services):
        name = f"service-{n:05}"
        sets = ["58bb4f", "7d5f9c"] if n % 10 == 0 else ["58bb4f"]
        for pod in [f"{name}-{hash}-{last}" for hash in sets for last in ("x2x4z", "b7k9m")]:
            labels, all = f'namespace="team-{n % 20:02}",pod="{pod}"', int(seconds * 20)
            lines.append(f'http_requests_total{{{labels},code="200"}} {all - all // 200}')
            lines.append(f'http_requests_total{{{labels},code="500"}} {all // 200}')
            for index, bound in enumerate(BUCKETS):
                within = all * (index + 1) // len(BUCKETS)
                lines.append(f'http_request_duration_seconds_bucket{{{labels},le="{bound}"}} {within}')
    return "\n".join(lines) + "\n"


def free():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def serve(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class Counted:
    """A proxy before the Prometheus, and what went through it: begun, ended, bytes of the answer."""

    def __init__(self, port):
        self.all, self.open, self.most, self.lock = [], 0, 0, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                begun = time.monotonic()
                with outer.lock:
                    outer.open += 1
                    outer.most = max(outer.most, outer.open)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                upstream.request("POST", self.path, body, kept)
                answer = upstream.getresponse()
                told = answer.read()
                with outer.lock:
                    outer.open -= 1
                    outer.all.append((begun, time.monotonic(), len(told)))
                self.send_response(answer.status)
                for name in ("content-type", "content-encoding"):
                    if answer.headers.get(name):
                        self.send_header(name, answer.headers[name])
                self.send_header("content-length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_):
                pass

        self.port = serve(Handler)

    def refreshes(self):
        """Queries that lie close together are one refresh."""
        groups = []
        for one in sorted(self.all):
            if groups and one[0] - max(end for _, end, _ in groups[-1]) < 2:
                groups[-1].append(one)
            else:
                groups.append([one])
        return groups


def settings(scratch, program, services, url, every):
    config = Path(scratch) / "CONFIG"
    config.mkdir()
    text = f'[sources.fleet]\nkind = "exec"\ncommand = ["{sys.executable}", "{program}", "{services}"]\n'
    if url:
        text += f'[sources.prometheus]\nkind = "prometheus"\nurl = "{url}"\nevery = "{every}s"\n'
    (config / "config.toml").write_text(text)


def own_cpu(cockpit):
    """CPU seconds of the program without the exec source's."""
    total = 0.0
    for pid in cockpit.processes():
        try:
            if b"python" in Path(f"/proc/{pid}/cmdline").read_bytes():
                continue
            field = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(field[11]) + int(field[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            pass
    return total


def run(binary, services, url, every, refreshes, counted):
    with tempfile.TemporaryDirectory(prefix="metrics-") as scratch:
        program = Path(scratch) / "fleet_program.py"
        program.write_text(PROGRAM)
        settings(scratch, program, services, url, every)
        cockpit = Cockpit(binary, Path(scratch) / "none", scratch)
        try:
            cockpit.until("all rows", rf"Rollouts \({services}\)", 120)
            if counted:
                end = time.monotonic() + 120
                while len(counted.refreshes()) < 3 and time.monotonic() < end:
                    cockpit.read(0.1)
                counted.all.clear()
                counted.most = 0
            cockpit.quiet(1, 5)
            cpu, size, begun = own_cpu(cockpit), cockpit.bytes, time.monotonic()
            while time.monotonic() < begun + every * refreshes:
                cockpit.read(0.1)
            took = time.monotonic() - begun
            told = {"cpu": round((own_cpu(cockpit) - cpu) / took * 100, 2),
                    "frame": round((cockpit.bytes - size) / took)}
            keys = []
            for turn in range(200):
                cockpit.quiet(0.03, 1)
                keys.append(cockpit.press("jk"[turn // 20 % 2]))
            told["key"] = spread([key for key in keys if key is not None])
            told["memory"] = cockpit.memory()["Pss:"]
            told["screen"] = cockpit.screen.text().splitlines()[:12]
            return told
        finally:
            cockpit.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--services", type=int, default=2000)
    parser.add_argument("--every", type=int, default=15)
    parser.add_argument("--refreshes", type=int, default=8)
    parser.add_argument("--prometheus", default=os.environ.get("FLIGHTDECK_PROMETHEUS", "prometheus"))
    args = parser.parse_args()
    begun, binary = time.time(), os.path.abspath(args.binary)

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self):
            body = page(args.services, begun).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    exporter, listen = serve(Exporter), free()
    with tempfile.TemporaryDirectory(prefix="prometheus-") as dir:
        Path(dir, "prometheus.yml").write_text(
            "global: {scrape_interval: 15s, scrape_timeout: 10s}\nscrape_configs: [{job_name: pods, honor_labels: true, "
            f"static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}]\n")
        prometheus = subprocess.Popen([args.prometheus, f"--config.file={dir}/prometheus.yml", f"--storage.tsdb.path={dir}/data",
                                       f"--web.listen-address=127.0.0.1:{listen}"], stderr=subprocess.DEVNULL)
        try:
            counted = Counted(listen)
            without = run(binary, args.services, None, args.every, args.refreshes, None)
            found = run(binary, args.services, f"http://127.0.0.1:{counted.port}", args.every, args.refreshes, counted)
            whole = counted.refreshes()[:-1] or counted.refreshes()
            query = f"http://127.0.0.1:{listen}/api/v1/query?query=count(%7Bjob=%22pods%22%7D)"
            series = json.load(urllib.request.urlopen(query))["data"]["result"][0]["value"][1]
            sizes = [sum(size for _, _, size in group) for group in whole]
            figures = {
                "services": args.services, "series": int(series),
                "queries": {**spread([len(group) for group in whole]), "at_once": counted.most},
                "bytes": {**spread(sizes), "a_service": round(max(sizes) / args.services)},
                "answered": spread([(max(end for _, end, _ in group) - group[0][0]) * 1000 for group in whole]),
                "without": without, "with": found,
            }
            print(json.dumps(figures, indent=1, ensure_ascii=False))
        finally:
            prometheus.terminate()
            prometheus.wait()


if __name__ == "__main__":
    main()
