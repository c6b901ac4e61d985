#!/usr/bin/env python3
"""Injects faults into the middle of rollouts on a real server under load; a line for each cell.

usage: faults.py BINARY [STRATEGY…] [--faults a,b] [--keep]

strategies: canary blue_green rolling recreate
faults:     server proxy shim instance crashloop disk clock+ clock- hook reboot

The load of scripts/flight.py: 200 requests/s open loop on 50 kept-alive connections, a tenth on fresh
ones, five streams. Allowed to fail: what was in flight at a killed proxy or instance (sent before it was
gone, ended after the kill), recreate's announced downtime, and all while a rebooted host is down. Exit
status 1 if anything else failed, if the rollout did not end as it must, or if processes are left over
or missing. The clock (libfaketime) jumps for the server, the only process here that reads the wall clock;
the full disk is a tmpfs of a few MiB (needs root).
"""
import io, json, os, re, shutil, signal, socket, subprocess, sys, tarfile, tempfile, threading, time

STRATEGIES = {
    "canary": 'canary = { steps = [{ set_weight = 20 }, { pause = { duration = "6s" } }, { set_weight = 60 }, { pause = { duration = "2s" } }] }',
    "blue_green": 'blue_green = { preview = "127.0.0.1:%(preview)d", checks = [{ pause = { duration = "6s" } }] }',
    "rolling": 'rolling = { max_surge = 1, max_unavailable = 0, pause = "3s" }',
    "recreate": "recreate = {}",
}
FAULTS = ["server", "proxy", "shim", "instance", "crashloop", "disk", "clock+", "clock-", "hook", "reboot"]
REPLICAS = 3
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
AFTER = 0.25  # seconds that a poll of the board may be late

def free_port():
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); return s.getsockname()[1]

def gone(pid):
    try: return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError: return True

def environ(pid):
    try: return dict(x.split("=", 1) for x in open(f"/proc/{pid}/environ", errors="replace").read().split("\0") if "=" in x)
    except OSError: return {}

def words(pid):
    try: return open(f"/proc/{pid}/cmdline", errors="replace").read().split("\0")
    except OSError: return []

class Rig:
    def __init__(self, strategy, fault):
        self.strategy, self.fault = strategy, fault
        self.dir = d = tempfile.mkdtemp(prefix="faults-"); self.port, preview = free_port(), free_port()
        os.mkdir(f"{d}/data"); self.mounted = fault == "disk"
        if self.mounted: subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "faults", f"{d}/data"], check=True)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("FLIGHTDECK_")}
        self.env.update({f"FLIGHTDECK_{k}_DIR": f"{d}/{v}" for k, v in (("CONFIG", "config"), ("DATA", "data"), ("STATE", "state"), ("RUNTIME", "run"))}, HOME=d, KUBECONFIG="")
        self.serve_env = dict(self.env)
        if fault.startswith("clock"):
            self.clock("+0")
            self.serve_env.update(LD_PRELOAD=FAKETIME, FAKETIME_TIMESTAMP_FILE=f"{d}/clock", FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1")
        hooks = 'hooks = [{ name = "smoke", on = "after", run = ["/bin/sh", "hook.sh"], timeout = "4s" }]'
        open(f"{d}/flightdeck.toml", "w").write(f"""
[environment.production]
order = 3
allow_self = true
[service.shop]
run = ["{{flightdeck}}", "sample-app", "--port", "{{port}}", "--settings", "app.toml", "--version", "{{version}}"]
health = {{ path = "/healthz", interval = "200ms", healthy = 2, unhealthy = 3, timeout = "500ms" }}
stop = {{ signal = "TERM", grace = "15s" }}
[service.shop.in.production]
listen = "127.0.0.1:{self.port}"
replicas = {REPLICAS}
progress_deadline = "20s"
keep_warm = "1s"
{hooks}
{STRATEGIES[strategy] % {"preview": preview}}
""")
        self.polls, self.said, self.polling = [], [], True
        self.marks, self.notes = [], []  # (name, from, to) of what may fail
    def clock(self, offset):
        open(f"{self.dir}/clock.new", "w").write(offset + "\n"); os.rename(f"{self.dir}/clock.new", f"{self.dir}/clock")
    def serve(self):
        log = open(f"{self.dir}/serve.log", "ab")
        self.server = subprocess.Popen([BIN, "serve"], env=self.serve_env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.until("the server answers", lambda: self.cli("status", check=False).returncode == 0)
    def cli(self, *args, check=True):
        r = subprocess.run([BIN, *args], env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and r.returncode: raise Failed(f"{' '.join(args)}: exit {r.returncode}: {(r.stdout + r.stderr).strip()}")
        return r
    def get(self, what): return json.loads(self.cli("get", what, "-o", "json").stdout)
    def rollout(self): return self.get("rollouts")[0]
    def until(self, what, f, limit=90):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            try:
                if value := f(): return value
            except (OSError, ValueError, KeyError, IndexError, Failed): pass
            time.sleep(0.05)
        raise Failed(f"waited {limit} s in vain: {what}; the board says: {self.said[-1:]}")
    def release(self, version, hook="exit 0", **settings):
        path = f"{self.dir}/{version}.tar.gz"; files = {"app.toml": "".join(f"{k} = {v}\n" for k, v in {"latency_ms": 5, **settings}.items()), "hook.sh": f"# {version}\n{hook}\n"}
        with tarfile.open(path, "w:gz") as tar:
            for name, text in files.items(): info = tarfile.TarInfo(name); info.size = len(text); info.mode = 0o755; tar.addfile(info, io.BytesIO(text.encode()))
        self.cli("release", "add", "shop", version, "--artifact", path, "--wait")
    def poll(self):
        """Remembers what a person would see, with the time."""
        while self.polling:
            try:
                row = self.rollout(); self.polls.append((time.monotonic(), row))
                line = f"{row['phase']}: {row['message']}"
                if not self.said or self.said[-1] != line: self.said.append(line)
            except (OSError, ValueError, KeyError, IndexError, Failed): pass
            time.sleep(0.1)
    def load(self):
        self.report = f"{self.dir}/load.json"
        self.loader = subprocess.Popen([BIN, "load", "--target", f"http://127.0.0.1:{self.port}/", "--rate", "200", "--connections", "50", "--fresh", "0.1", "--streams", "5", "--stream-seconds", "3", "--report", self.report], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    def load_end(self):
        self.loader.send_signal(signal.SIGINT); self.loader.wait(30); return json.load(open(self.report))
    def processes(self, kind):
        """Those of this rig: shim, proxy or sample-app."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            line = words(pid)
            if len(line) > 1 and line[1] == kind and any(self.dir in x for x in (*line, environ(pid).get("FLIGHTDECK_INSTANCE_DIR", ""))): found.append(int(pid))
        return found
    def kill(self, name, *pids, wait_for=()):
        """What is in flight from the kill until they are gone may fail."""
        begun = time.monotonic()
        for pid in pids: os.kill(pid, signal.SIGKILL)
        while not all(gone(pid) for pid in (*pids, *wait_for)) and time.monotonic() < begun + 20: time.sleep(0.001)
        self.marks.append((name, begun, time.monotonic()))
    def end(self):
        self.polling = False
        if getattr(self, "loader", None) and self.loader.poll() is None: self.loader.kill(); self.loader.wait()
        if getattr(self, "server", None):
            if self.server.poll() is None: self.server.terminate(); self.server.wait(30)
            # one that ends what it finds
            last = subprocess.Popen([BIN, "serve", "--exit-on-stdin-eof"], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            limit = time.monotonic() + 20
            while self.cli("status", check=False).returncode and time.monotonic() < limit: time.sleep(0.1)
            last.stdin.close(); last.wait(60)
        if self.mounted: subprocess.run(["umount", "-l", f"{self.dir}/data"])
        if KEEP: print("   kept:", self.dir)
        else: shutil.rmtree(self.dir, ignore_errors=True)

class Failed(Exception): pass

def arm(row, role): return next((a for a in row["arms"] if a["role"]["type"] == role), None)
def settled(row, version): a = arm(row, "stable"); return row["phase"] in ("healthy", "aborted", "failed") and a and a["version"] == version and a["traffic"]["actual"] == 1_000_000
def ended(row): return row["phase"] in ("healthy", "aborted", "failed") and any(a["traffic"]["actual"] == 1_000_000 and a["replicas"]["ready"] == REPLICAS for a in row["arms"])

def middle(rig):
    """Waits for the middle of the rollout."""
    if rig.strategy == "canary": return rig.until("20 %", lambda: arm(rig.rollout(), "candidate")["traffic"]["actual"] == 200_000)
    if rig.strategy == "blue_green": return rig.until("the candidate at full size", lambda: any(a["version"] == "2.0" and a["replicas"]["ready"] == REPLICAS for a in rig.rollout()["arms"]))
    if rig.strategy == "rolling": return rig.until("the first batch", lambda: any(a["version"] == "2.0" and a["traffic"]["actual"] for a in rig.rollout()["arms"]))
    return rig.until("the downtime", lambda: any(i["version"] == "2.0" for i in rig.get("instances")))

def instance(rig, version):
    mine = [i for i in rig.get("instances") if i["version"] == version and i["pid"]]
    return mine[0] if mine else None

def shim_of(rig, pid): return int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])

def inject(rig):
    fault = rig.fault
    if fault == "server":
        rig.server.kill(); rig.server.wait(); time.sleep(3); rig.serve()
    elif fault == "proxy":
        rig.kill("the proxy", *rig.processes("proxy"))
    elif fault in ("instance", "shim"):
        for version in ("1.0", "2.0"):
            found = instance(rig, version)
            if not found: continue
            victim = shim_of(rig, found["pid"]) if fault == "shim" else found["pid"]
            rig.kill(f"{fault} of an instance of {version}", victim, wait_for=[found["pid"]]); time.sleep(1.5)
    elif fault == "disk":
        free = shutil.disk_usage(f"{rig.dir}/data").free; rig.notes.append(f"filled the last {free >> 10} KiB of 32 MiB")
        fill = lambda: subprocess.run(["dd", "if=/dev/zero", f"of={rig.dir}/data/filler", "bs=4096"], capture_output=True)
        fill()
        time.sleep(4); pause = rig.cli("pause", "shop@production", "--yes", "--reason", "the disk is full", check=False)
        rig.notes.append(f"pause with a full disk: exit {pause.returncode}: {last_line(pause)}")
        time.sleep(2); os.remove(f"{rig.dir}/data/filler")
        rig.until("the pause is over or never was", lambda: "resume" not in rig.rollout()["offers"] or rig.cli("resume", "shop@production", "--yes", check=False).returncode == 0)
    elif fault.startswith("clock"):
        before = time.monotonic(); step = rig.rollout()["step"]
        rig.clock("+1h" if fault == "clock+" else "-1h")
        time.sleep(1); rig.cli("status")
        if rig.strategy in ("canary", "blue_green"):
            # Of a pause of 6 s at most 2 s may be taken by the jump (the longest tick that counts).
            rig.until("the next step", lambda: rig.rollout()["step"] != step); stood = time.monotonic() - before
            rig.notes.append(f"stood {stood:.1f} s more of its 6 s")
            if stood < 2.5: raise Failed(f"the jump of the clock promoted it: only {stood:.1f} s")
    elif fault == "reboot":
        begun = time.monotonic()
        pids = [rig.server.pid, *(p for kind in ("shim", "proxy", "sample-app") for p in rig.processes(kind))]
        for _ in range(3):
            for pid in pids:
                try: os.kill(pid, signal.SIGKILL)
                except ProcessLookupError: pass
            pids = [p for kind in ("shim", "proxy", "sample-app") for p in rig.processes(kind)]
        rig.server.wait(); time.sleep(1); rig.serve()
        rig.until("it serves again", lambda: answers(rig.port)); rig.marks.append(("the host", begun, time.monotonic() + AFTER))

def answers(port):
    with socket.create_connection(("127.0.0.1", port), 1) as s:
        s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"); return s.recv(64).startswith(b"HTTP/1.1 200")

def last_line(done):
    lines = [x.strip() for x in (done.stdout + done.stderr).splitlines() if x.strip()]
    return lines[-1] if lines else ""

def downtime(rig, begun):
    """From the last moment with a ready instance in the route to the first one again, as the board showed it."""
    down = [t for t, row in rig.polls if t > begun and not any(a["replicas"]["ready"] and a["traffic"]["actual"] for a in row["arms"])]
    return (down[0] - 1, down[-1] + 1) if down else None

def expected(fault): return "1.0" if fault in ("crashloop", "hook") else "2.0"

def cell(strategy, fault):
    rig = Rig(strategy, fault); problems = []
    try:
        rig.serve(); rig.cli("apply", rig.dir + "/flightdeck.toml", "--yes", "--wait"); rig.release("1.0")
        rig.release("2.0", hook="sleep 1000" if fault == "hook" else "exit 0", **({"crash_after": 0} if fault == "crashloop" else {"start_after": 1.0} if strategy == "recreate" else {}))
        rig.cli("deploy", "shop", "1.0", "--to", "production", "--yes", "--wait"); rig.until("1.0 serves", lambda: settled(rig.rollout(), "1.0"))
        threading.Thread(target=rig.poll, daemon=True).start(); rig.load(); time.sleep(2)
        begun = time.monotonic(); deploy = rig.cli("deploy", "shop", "2.0", "--to", "production", "--yes")
        if fault not in ("crashloop", "hook"): middle(rig); time.sleep(0 if strategy == "recreate" else 0.5); inject(rig)
        row = rig.until("the rollout ends", lambda: (r := rig.rollout()) and ended(r) and (settled(r, expected(fault)) or r["phase"] in ("aborted", "failed")) and r)
        rig.until("as many processes as instances", lambda: len(rig.processes("sample-app")) == REPLICAS, 45); time.sleep(1)
        if not settled(row, expected(fault)) and not (fault == "reboot" and settled(row, "1.0")): problems.append(f"ended {row['phase']} on {arm(row, 'stable')['version']}, expected {expected(fault)}")
        load = rig.load_end(); rig.polling = False
        down = downtime(rig, begun) if strategy == "recreate" else None
        total, kinds = sum(load["failed"].values()), {k: v for k, v in load["failed"].items() if v}
        explained, rest = {}, []
        for f in load["failures"]:
            mark = next((name for name, a, b in rig.marks if f["sent"] <= b and f["ended"] >= a), None)
            if not mark and down and f["sent"] <= down[1] and f["ended"] >= down[0]: mark = "downtime"
            if mark: explained[mark] = explained.get(mark, 0) + 1
            else: rest.append(f)
        if total > len(load["failures"]) and fault != "reboot": problems.append(f"{total} failed, only {len(load['failures'])} of them were told")
        if rest: problems.append(f"{len(rest)} failed without a reason: {rest[:3]} {load['examples'][:3]}")
        receipt = [r for r in rig.get("receipts") if r["command"]["action"] == "deploy"]
        last = receipt[0]["stages"][-1]["stage"] if receipt else {}
        print(f"{'ok ' if not problems else 'NOT'} {strategy:10} × {fault:9} failed {total} of {load['sent']} {kinds or ''} {'in flight at ' + json.dumps(explained) if explained else ''} → {row['phase']} on {arm(row, 'stable')['version']}")
        if down: print(f"      down for {down[1] - down[0] - 2:.1f} s as the board showed it; announced: {[s for s in rig.said if 'down for' in s] + [x.strip() for x in deploy.stdout.splitlines() if 'down' in x]}")
        for note in rig.notes: print(f"      {note}")
        print(f"      saw: {' | '.join(rig.said[-9:])}"); print(f"      receipt: {json.dumps(last, ensure_ascii=False)[:400]}")
    except (Failed, OSError, IndexError, KeyError, TypeError) as error:
        problems.append(repr(error)); print(f"NOT {strategy:10} × {fault:9}"); print(f"      saw: {' | '.join(rig.said[-9:])}")
    finally:
        for problem in problems: print(f"      problem: {problem}")
        sys.stdout.flush(); rig.end()
    return not problems

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-"): sys.exit(__doc__)
    KEEP = "--keep" in arguments
    faults = FAULTS
    if "--faults" in arguments: faults = arguments[arguments.index("--faults") + 1].split(",")
    BIN = os.path.abspath(arguments[0]); named = [a for a in arguments[1:] if a in STRATEGIES]
    results = [cell(strategy, fault) for strategy in named or STRATEGIES for fault in faults if fault in FAULTS]
    print(f"{sum(results)} of {len(results)} cells ok"); sys.exit(0 if results and all(results) else 1)
