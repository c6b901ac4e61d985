#!/usr/bin/env python3
"""What a server is like after long use, and how it comes back: prints the figures.

usage: endure.py BINARY SCENARIO… [--deploys N] [--drills N]

  drills    N drills (10), warm and cold in turn: the estimate said before, and the time measured
  deploys   N deploys in a row (2000): memory, descriptors, start time, disk and bytes a deploy
  adopt     100 instances, the server killed and started again: time until all are adopted; a journal
            with a foreign pid in an instance's record: nobody else's process is signalled

Everything lives in a scratch directory that is removed at the end.
"""
import json, os, re, shutil, signal, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flight


def option(name, default):
    return int(sys.argv[sys.argv.index(name) + 1]) if name in sys.argv else default


def rig(tier="standard", replicas=2, keep_warm="10m", plan="canary = { steps = [] }", health="200ms"):
    r = flight.Rig(steps="[]")
    r.toml = f"""
[environment.production]
order = 1
tier = "{tier}"
allow_self = true
[service.shop]
run = ["{{flightdeck}}", "sample-app", "--port", "{{port}}", "--settings", "app.toml", "--version", "{{version}}"]
health = {{ path = "/healthz", interval = "{health}", healthy = 1, unhealthy = 3, timeout = "2s" }}
stop = {{ signal = "TERM", grace = "5s" }}
[service.shop.in.production]
listen = "127.0.0.1:{r.port}"
replicas = {replicas}
keep_warm = "{keep_warm}"
rto = "10s"
{plan}
"""
    open(f"{r.dir}/flightdeck.toml", "w").write(r.toml)
    r.serve()
    r.cli("apply", f"{r.dir}/flightdeck.toml", "--yes")
    return r


def settled(r, version):
    row = r.rollout()
    return row["phase"] == "healthy" and row["arms"][0]["version"] == version and row


def drills():
    """Half of them with the version before still up, half after it was ended."""
    ratios = []
    for warm in (True, False):
        r = rig(keep_warm="10m" if warm else "0s")
        try:
            for version in ("1.0.0", "1.1.0"):
                r.release(version)
                r.deploy(version)
                r.until(f"{version} serves", lambda: settled(r, version))
            for n in range(option("--drills", 10) // 2):
                way = r.rollout()["way_back"]
                r.cli("drill", "shop", "--in", "production", "--yes")
                found = lambda: sorted((d for d in r.json("deployments") if d["kind"] == "drill"), key=lambda d: d["ended"])
                done = r.until("the record", lambda: len(found()) > n and found()[-1])
                said, took = seconds(way["estimate"]), seconds(done["rollback"])
                ratio = took / said if said else None
                ratios.append(ratio)
                print(f"{way['path']:9} said {said} s (of {way['measured']} times), measured {took:.3f} s, ratio {ratio:.2f}" if ratio else f"{way['path']}: never measured before, took {took:.3f} s", flush=True)
        finally:
            r.end()
    good = [x for x in ratios if x and 0.5 <= x <= 2]
    print(f"{len(good)} of {len(ratios)} within a factor of 2")


def seconds(text):
    """An ISO 8601 duration, as jiff writes it."""
    if text is None: return None
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", text)
    hours, minutes, rest = (float(x or 0) for x in found.groups())
    return hours * 3600 + minutes * 60 + rest


def size(path):
    total = 0
    for root, _, files in os.walk(path):
        for name in files:
            try: total += os.stat(os.path.join(root, name)).st_blocks * 512
            except OSError: pass
    return total


def look(r):
    pid = r.server.pid
    pss = sum(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Pss:"))
    data = f"{r.dir}/data"
    parts = {name: size(os.path.join(data, name)) >> 10 for name in sorted(os.listdir(data)) if os.path.isdir(os.path.join(data, name))}
    parts["journal"] = sum(os.stat(os.path.join(data, f)).st_size for f in os.listdir(data) if f.startswith("engine.db")) >> 10
    started = time.monotonic()
    r.server.kill(); r.server.wait(); r.serve()
    return {"pss_kib": pss, "descriptors": len(os.listdir(f"/proc/{r.server.pid}/fd")), "start_ms": round((time.monotonic() - started) * 1000), "disk_kib": parts}


def deploys():
    r = rig(replicas=1, keep_warm="0s", health="50ms")
    try:
        for version in ("1.0.0", "1.1.0"):
            r.release(version)
        r.deploy("1.0.0")
        r.until("it serves", lambda: settled(r, "1.0.0"))
        n, every = option("--deploys", 2000), max(1, option("--deploys", 2000) // 8)
        first = last = None
        for i in range(n):
            version = ("1.1.0", "1.0.0")[i % 2]
            r.cli("deploy", "shop", version, "--to", "production", "--yes", "--reason", "endurance", "--wait")
            if i % every == every - 1:
                last = look(r)
                first = first or (i + 1, last)
                print(f"{i + 1:5} deploys: {json.dumps(last)}", flush=True)
        grown = {k: (last["disk_kib"].get(k, 0) - first[1]["disk_kib"].get(k, 0)) * 1024 / (n - first[0]) for k in last["disk_kib"]} if n > first[0] else {}
        print("bytes a deploy:", {k: round(v) for k, v in grown.items()})
        print(r.cli("ledger", "verify").stdout.strip())
    finally:
        r.end()


def adopt():
    r = rig(replicas=100, health="5s")
    try:
        r.release("1.0.0")
        r.deploy("1.0.0")
        r.until("it serves", lambda: settled(r, "1.0.0"), 180)
        pids = lambda: sorted(int(p) for p in os.listdir("/proc") if p.isdigit() and is_app(p, r.dir))
        before = pids()
        for _ in range(5):
            r.server.kill(); r.server.wait()
            offset = os.path.getsize(f"{r.dir}/serve.log")
            r.serve()
            line = r.until("all are adopted", lambda: re.findall(r".*adopted.*", open(f"{r.dir}/serve.log").read()[offset:]))
            print(re.sub(r"\x1b\[[0-9;]*m", "", line[-1]).strip()[-120:], "| same processes:", pids() == before, flush=True)
        r.server.kill(); r.server.wait()
        forged(r)
    finally:
        r.end()


def is_app(pid, directory):
    try: return open(f"/proc/{pid}/cmdline").read().split("\0")[1] == "sample-app" and os.readlink(f"/proc/{pid}/cwd").startswith(directory)
    except (OSError, IndexError): return False


def forged(r):
    """Instead of its own shim and process, the records of an instance name a stranger's."""
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    dirs = [d for d in os.listdir(f"{r.dir}/data/instances")][:1]
    for d in dirs:
        path = f"{r.dir}/data/instances/{d}/state.json"
        state = json.load(open(path))
        for who in ("shim", "process"):
            if state.get(who):
                os.kill(state[who]["pid"], signal.SIGKILL)
                state[who]["pid"] = stranger.pid
        json.dump(state, open(path, "w"))
    r.serve()
    r.until("100 are ready again", lambda: r.rollout()["arms"][0]["replicas"]["ready"] == 100, 60)
    print("a stranger's pid in the records of", dirs[0], "| the stranger lives:", stranger.poll() is None)
    stranger.kill(); stranger.wait()


SCENARIOS = {f.__name__: f for f in (drills, deploys, adopt)}
if __name__ == "__main__":
    for name in sys.argv[2:]:
        if name in SCENARIOS:
            print(f"== {name}", flush=True)
            SCENARIOS[name]()
