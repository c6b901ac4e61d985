#!/usr/bin/env python3
"""Drives a real server and a real cockpit in tmux by keys, under load, and prints what each step showed.

usage: flight.py BINARY SCENARIO…

  keys      promote, pause, resume, abort, roll back, approve, reject; each ends with its evidence
  bad       a bad canary rolls back by itself; a good one succeeds; without samples it pauses
  kills     kill -9 of the server (restarted, and not), of the cockpit
  pins      a promote pinned before the rollout moved on is refused with the facts that changed
  races     50 times promote, resume or promote-full against abort over the socket: abort holds
  abort     50 aborts by key: time from the key to the last request that arrived at the candidate
  idle      ten idle services: CPU and memory of server, proxy and shims

The load all the while: 200 requests/s open loop on 50 kept-alive connections, a tenth on fresh ones,
five streams of 10 s. Everything lives in a scratch directory that is removed at the end. Needs tmux.
"""
import json, os, re, shutil, signal, socket, subprocess, sys, tarfile, tempfile, time, io

BIN = os.path.abspath(sys.argv[1])

def free_port():
    s = socket.socket(); s.bind(("127.0.0.1", 0)); p = s.getsockname()[1]; s.close(); return p

def artifact(path, **settings):
    text = "".join(f"{k} = {v}\n" for k, v in settings.items()).encode()
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("app.toml"); info.size = len(text); tar.addfile(info, io.BytesIO(text))

class Rig:
    def __init__(self, steps='[{ set_weight = 10 }, { pause = {} }, { set_weight = 50 }, { pause = {} }, { set_weight = 80 }]', extra="", background=None, lease=None):
        self.dir = tempfile.mkdtemp(prefix="flight-"); self.port = free_port(); self.procs = []
        d = self.dir; self.sock = f"{d}/run/server.sock"
        self.env = dict(os.environ, FLIGHTDECK_CONFIG_DIR=f"{d}/config", FLIGHTDECK_DATA_DIR=f"{d}/data", FLIGHTDECK_STATE_DIR=f"{d}/state", FLIGHTDECK_RUNTIME_DIR=f"{d}/run")
        self.toml = f"""
[environment.production]
order = 3
tier = "critical"
allow_self = true

[service.shop]
run = ["{{flightdeck}}", "sample-app", "--port", "{{port}}", "--settings", "app.toml", "--version", "{{version}}", "--access-log", "{d}/{{instance}}.log"]
health = {{ path = "/healthz", interval = "200ms", healthy = 2, unhealthy = 3, timeout = "500ms" }}
stop = {{ signal = "TERM", grace = "15s" }}

[service.shop.in.production]
listen = "127.0.0.1:{self.port}"
replicas = 2
progress_deadline = "1m"
keep_warm = "10m"
concurrency = "supersede"

[service.shop.in.production.canary]
steps = {steps}
{f'background_analysis = "{background}"' if background else ''}
{extra}
"""
        open(f"{d}/flightdeck.toml", "w").write(self.toml)
    def serve(self, *args):
        self.serve_log = open(f"{self.dir}/serve.log", "ab")
        p = subprocess.Popen([BIN, "serve", *args], env=self.env, stdin=subprocess.DEVNULL, stdout=self.serve_log, stderr=self.serve_log)
        self.server = p
        self.until("the server answers", lambda: self.cli("status", check=False).returncode == 0)
        return p
    def cli(self, *args, check=True):
        r = subprocess.run([BIN, *args], env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and r.returncode: raise SystemExit(f"{args}: exit {r.returncode}\n{r.stdout}{r.stderr}")
        return r
    def json(self, *args): return json.loads(self.cli("get", *args, "-o", "json").stdout)
    def rollout(self): return self.json("rollouts")[0]
    def release(self, version, **settings):
        path = f"{self.dir}/{version}.tar.gz"; artifact(path, **{"latency_ms": 5, "error_rate": 0.0, **settings})
        self.cli("release", "add", "shop", version, "--artifact", path)
    def deploy(self, version): self.cli("deploy", "shop", version, "--to", "production", "--yes", "--reason", "tour")
    def until(self, what, f, limit=60):
        end = time.time() + limit
        while time.time() < end:
            try:
                v = f()
                if v: return v
            except (OSError, ValueError, KeyError, IndexError): pass
            time.sleep(0.05)
        raise SystemExit(f"waited {limit}s in vain: {what}\n{self.cli('get','rollouts','-o','json',check=False).stdout[:3000]}")
    def load(self, rate=200, duration=3600, streams=5):
        self.report = f"{self.dir}/load.json"
        p = subprocess.Popen([BIN, "load", "--target", f"http://127.0.0.1:{self.port}/", "--rate", str(rate), "--connections", "50", "--fresh", "0.1", "--streams", str(streams), "--stream-seconds", "10", "--duration", str(duration), "--report", self.report],
            stdout=open(f"{self.dir}/load.out", "wb"), stderr=subprocess.STDOUT); self.loader = p; return p
    def load_end(self):
        self.loader.send_signal(signal.SIGINT); self.loader.wait(30)
        return open(f"{self.dir}/load.out").read().strip()
    def cockpit(self, size="120x36", name="flight"):
        w, h = size.split("x"); self.tmux = f"{name}-{os.getpid()}"
        env = [x for k in ("FLIGHTDECK_CONFIG_DIR", "FLIGHTDECK_DATA_DIR", "FLIGHTDECK_STATE_DIR", "FLIGHTDECK_RUNTIME_DIR") for x in ("-e", f"{k}={self.env[k]}")]
        subprocess.run(["tmux", "new-session", "-d", "-s", self.tmux, "-x", w, "-y", h, *env, BIN], check=True)
        self.until("the deck shows shop", lambda: "shop" in self.screen())
    def screen(self): return subprocess.run(["tmux", "capture-pane", "-p", "-t", self.tmux], capture_output=True, text=True).stdout
    def keys(self, *keys):
        for k in keys: subprocess.run(["tmux", "send-keys", "-t", self.tmux, k], check=True); time.sleep(0.12)
    def type(self, text): subprocess.run(["tmux", "send-keys", "-t", self.tmux, "-l", text], check=True); time.sleep(0.1)
    def wait_screen(self, regex, limit=20):
        return self.until(f"screen matches {regex!r}\n{self.screen()}", lambda: re.search(regex, self.screen()), limit)
    def receipts(self): return self.json("receipts")
    def effective(self, action, after):
        def f():
            for r in self.receipts():
                if r["command"]["action"] == action and r["stages"][0]["at"] > after:
                    last = r["stages"][-1]
                    if last["stage"]["type"] in ("effective", "refused", "failed", "timed_out", "superseded"): return r
        r = self.until(f"a final receipt of {action}", f, 90)
        s = r["stages"]
        print(f"   receipt {action}: " + " → ".join(x["stage"]["type"] for x in s) + f"  ({ms(s[0]['at'], s[-1]['at'])} ms)")
        print("   evidence:", json.dumps(s[-1]["stage"].get("data")))
        assert s[-1]["stage"]["type"] == "effective", r
        return r
    def end(self):
        if getattr(self, "loader", None) and self.loader.poll() is None: print("load:", json.dumps({k: v for k, v in json.loads(self.load_end()).items() if k in ("sent", "ok", "injected", "failed", "streams", "unfinished", "versions")}))
        if getattr(self, "tmux", None): subprocess.run(["tmux", "kill-session", "-t", self.tmux], capture_output=True)
        for p in (getattr(self, "loader", None),):
            if p and p.poll() is None: p.kill()
        # a short-lived server ends what it finds
        if self.server.poll() is None: self.server.terminate(); self.server.wait(20)
        p = subprocess.Popen([BIN, "serve", "--exit-on-stdin-eof"], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(2); p.stdin.close(); p.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)

from datetime import datetime
def ts(s): return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", s.replace("Z", "+00:00")))
def ms(a, b): return round((ts(b) - ts(a)).total_seconds() * 1000)
def now(): return datetime.utcnow().isoformat() + "Z"

GOLDEN = '''
[analysis.golden]
error_rate = { max = "2%", over_stable = "1%" }
latency_p99 = { max = "2s" }
min_requests = 50
missing = "pause"
window = "10s"
'''

def confirm(rig, key):
    """Presses the key and gives what its dialog asks for; returns the moment before."""
    started = now(); rig.keys(key); time.sleep(1.0)
    challenge = re.search(r"│\s*type\s+(.+?)\s{2,}", rig.screen())
    if challenge:
        print("   challenge:", challenge[1]); rig.type(challenge[1].rstrip(" ›")); rig.keys("Enter")
    elif key != "z":
        rig.keys("y")
    return started

def paused_at(rig, step): return lambda: rig.rollout()["step"] == step and rig.rollout()["phase"] == "paused"
def serves(rig, version): return lambda: rig.rollout()["phase"] == "healthy" and rig.rollout()["arms"][0]["version"] == version

def first(rig, *versions, **load):
    rig.serve(); rig.cli("apply", rig.dir + "/flightdeck.toml", "--yes")
    for version in versions: rig.release(version)
    rig.deploy(versions[0]); rig.until("the first version serves", serves(rig, versions[0]))
    if load.pop("loaded", True): rig.load(**load)

def keys(rig_of=lambda: Rig(steps='[{ set_weight = 10 }, { pause = {} }, { set_weight = 50 }, { pause = {} }, { set_weight = 80 }, { approval = { from = [], count = 1, expires = "4h" } }]')):
    rig = rig_of()
    try:
        first(rig, "1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"); rig.cockpit()
        def act(key, action, until):
            rig.effective(action, confirm(rig, key)); rig.until(f"the effect of {action}", until)
        def deploy(version): rig.deploy(version); rig.until("10 %", paused_at(rig, 1)); time.sleep(0.5)
        def to_approval(): act("p", "promote", paused_at(rig, 3)); act("p", "promote", paused_at(rig, 5)); rig.keys("2")
        aborted = lambda: rig.rollout()["phase"] == "aborted"
        print("promote to the end, with an approval"); deploy("1.1.0"); to_approval(); act("v", "approve", serves(rig, "1.1.0")); rig.keys("1")
        print("pause and resume"); deploy("1.2.0"); act("z", "pause", lambda: "resume" in rig.rollout()["offers"]); act("u", "resume", lambda: "resume" not in rig.rollout()["offers"])
        print("abort at 50 %"); act("p", "promote", paused_at(rig, 3)); act("a", "abort", aborted)
        print("abort while paused"); deploy("1.3.0"); act("z", "pause", lambda: "resume" in rig.rollout()["offers"]); act("a", "abort", aborted)
        print("reject"); deploy("1.4.0"); to_approval(); act("x", "reject", aborted); rig.keys("1")
        print("roll back a finished release"); deploy("1.5.0"); to_approval(); act("v", "approve", serves(rig, "1.5.0")); rig.keys("1"); act("b", "rollback", serves(rig, "1.1.0"))
        print(rig.screen()); time.sleep(12)
    finally:
        print("ledger:", rig.cli("ledger", "verify", check=False).stdout.strip()); rig.end()

def bad():
    rig = Rig(steps='[{ set_weight = 25 }, { pause = { duration = "20s" } }, { analysis = { use = "golden", duration = "10s" } }]', background="golden", extra=GOLDEN)
    try:
        first(rig, "1.0.0", streams=0); rig.release("2.0.0", error_rate=0.2); rig.release("2.0.1", error_rate=0.0); rig.release("2.0.2", error_rate=0.0); rig.cockpit()
        rig.deploy("2.0.0"); rig.until("it rolls back by itself", lambda: rig.rollout()["phase"] == "aborted"); time.sleep(1); print(rig.screen())
        for line in rig.cli("ledger", "export").stdout.splitlines():
            if '"evidence"' in line and '"fail"' in line: print("ledger:", line[:1500])
        rig.deploy("2.0.1"); rig.until("2.0.1 serves", serves(rig, "2.0.1"), 90); print("error rate 0:", rig.rollout()["message"])
        rig.deploy("2.0.2"); rig.until("25 %", lambda: rig.rollout()["arms"][1]["traffic"]["actual"] == 250000); rig.load_end()
        rig.until("it pauses", lambda: rig.rollout()["phase"] == "paused"); print("samples cut off:", rig.rollout()["phase"], "|", rig.rollout()["message"])
    finally: rig.end()

def instances(rig): return sorted((i["id"], i["pid"]) for i in rig.json("instances"))
def versions(rig): return json.load(open(rig.report))["versions"]
def grown(a, b): return {k: b[k] - a.get(k, 0) for k in b}

def kills():
    rig = Rig()
    try:
        first(rig, "1.0.0", "1.1.0"); rig.cockpit(); rig.deploy("1.1.0"); rig.until("10 %", paused_at(rig, 1)); time.sleep(1)
        before = instances(rig); print("kill -9 of the server at step", rig.rollout()["step"] + 1, before); rig.server.kill(); rig.server.wait(); time.sleep(3); print(rig.screen().splitlines()[0])
        rig.serve(); rig.until("the instances are adopted", lambda: instances(rig) == before)
        print("started again: the same processes:", instances(rig) == before, "step", rig.rollout()["step"] + 1, rig.rollout()["message"])
        rig.until("the cockpit is live again", lambda: "stale" not in rig.screen()); confirm(rig, "p"); rig.until("50 %", paused_at(rig, 3)); print("went on to step", rig.rollout()["step"] + 1)
        print("kill -9 of the server, not started again"); rig.server.kill(); rig.server.wait(); a = versions(rig); time.sleep(70); b = versions(rig); time.sleep(5)
        print("requests by version in 70 s:", grown(a, b), "in the 5 s after:", grown(b, versions(rig)))
        rig.serve(); time.sleep(2); print("started again:", rig.rollout()["phase"], "|", rig.rollout()["message"])
        rig.until("the cockpit is live again", lambda: "stale" not in rig.screen(), 90)
        guardian = subprocess.run(["tmux", "list-panes", "-t", rig.tmux, "-F", "#{pane_pid}"], capture_output=True, text=True).stdout.strip()
        cockpit = int(subprocess.run(["pgrep", "-P", guardian], capture_output=True, text=True).stdout.split()[0])
        subprocess.run(["tmux", "set-option", "-t", rig.tmux, "remain-on-exit", "on"]); print("kill -9 of the cockpit"); os.kill(cockpit, 9); time.sleep(1); print(rig.screen().strip())
        print("the server answers:", rig.cli("status").returncode == 0); time.sleep(12)
    finally: rig.end()

def pins():
    rig = Rig()
    try:
        first(rig, "1.0.0", "1.1.0", loaded=False); rig.deploy("1.1.0"); rig.until("10 %", paused_at(rig, 1)); pin = rig.rollout()["pins"]["promote"]
        rig.cli("promote", "shop@production", "--pin", pin, "--yes", "--wait"); rig.until("50 %", paused_at(rig, 3))
        late = rig.cli("promote", "shop@production", "--pin", pin, "--yes", check=False); print("exit", late.returncode, "|", late.stdout + late.stderr)
    finally: rig.end()

def races(rounds=50):
    import random, threading
    rig = Rig(); results = {}
    try:
        first(rig, "1.0.0", rate=100, streams=0)
        for n in range(rounds):
            version = f"1.0.{n + 1}"; rig.release(version); rig.deploy(version); rig.until("10 %", lambda: paused_at(rig, 1)() and rig.rollout()["arms"][1]["version"] == version)
            rival = random.choice([["promote"], ["promote", "--full"], ["pause"]]); delays = [random.random() * 0.05, random.random() * 0.05]; codes = {}
            def send(words, delay): time.sleep(delay); codes[" ".join(words)] = rig.cli(words[0], "shop@production", *words[1:], "--yes", "--reason", "race", check=False).returncode
            threads = [threading.Thread(target=send, args=x) for x in ((rival, delays[0]), (["abort"], delays[1]))]
            [t.start() for t in threads]; [t.join() for t in threads]
            ended = lambda: rig.rollout()["phase"] in ("aborted", "healthy"); rig.until("it ended", ended); time.sleep(0.2); r = rig.rollout()
            assert codes["abort"] == 0 and r["phase"] == "aborted" and r["arms"][0]["version"] == "1.0.0" and r["arms"][0]["traffic"]["actual"] == 1000000, (codes, r)
            key = (" ".join(rival), codes[" ".join(rival)]); results[key] = results.get(key, 0) + 1
        print(f"{rounds} races over the socket, abort held in all; (rival, its exit code): times", results)
    finally: rig.end()

def abort(rounds=50):
    import fcntl, glob, pty, statistics, struct, termios, threading
    rig = Rig(steps='[{ set_weight = 50 }, { pause = {} }]'); took = []
    try:
        first(rig, "1.0.0", rate=400, streams=0); pid, fd = pty.fork()
        if pid == 0: os.environ.update(rig.env, TERM="xterm-256color"); os.execv(BIN, [BIN])
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        def pump():
            try:
                while os.read(fd, 65536): pass
            except OSError: pass
        threading.Thread(target=pump, daemon=True).start()
        for n in range(rounds):
            version = f"1.0.{n + 1}"; rig.release(version); rig.deploy(version)
            rig.until("50 %", lambda: paused_at(rig, 1)() and rig.rollout()["arms"][-1]["version"] == version and rig.rollout()["arms"][-1]["traffic"]["actual"] == 500000)
            time.sleep(0.3); os.write(fd, b"a"); time.sleep(0.4); pressed = time.monotonic_ns(); os.write(fd, b"y")
            rig.until("aborted", lambda: rig.rollout()["phase"] == "aborted"); time.sleep(0.2)
            log = max(glob.glob(f"{rig.dir}/shop-production-*.log"), key=lambda path: int(re.search(r"-(\d+)\.log", path)[1]))
            arrived = [int(line.split()[0]) for line in open(log) if "/healthz" not in line]; took.append((max(arrived) - pressed) / 1e6)
        print(f"y key → last request at the candidate, ms: {rounds} runs, median {statistics.median(took):.1f}, worst {max(took):.1f}; all: {sorted(round(t, 1) for t in took)}")
        os.kill(pid, signal.SIGTERM)
    finally: rig.end()

def idle(seconds=60):
    rig = Rig(); head, body = rig.toml.split("[service.shop]"); body = "[service.shop]" + body.replace("replicas = 2", "replicas = 1").replace('interval = "200ms"', 'interval = "1s"')
    open(rig.dir + "/flightdeck.toml", "w").write(head + "".join(body.replace("shop", f"svc{n}").replace(str(rig.port), str(free_port())) for n in range(10))); rig.serve()
    try:
        rig.cli("apply", rig.dir + "/flightdeck.toml", "--yes")
        for n in range(10):
            path = f"{rig.dir}/svc{n}.tar.gz"; artifact(path, latency_ms=5, error_rate=0.0); rig.cli("release", "add", f"svc{n}", "1.0.0", "--artifact", path); rig.cli("deploy", f"svc{n}", "1.0.0", "--to", "production", "--yes")
        rig.until("ten serve", lambda: [r["phase"] for r in rig.json("rollouts")] == ["healthy"] * 10); time.sleep(8)
        tree = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try: words = open(f"/proc/{pid}/cmdline").read().split("\0")
            except OSError: continue
            if words[0] == BIN and words[1] in ("serve", "proxy", "shim"): tree[int(pid)] = words[1]
        def cpu(pid): f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split(); return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")
        def memory(pid): return {line.split(":")[0]: int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith(("Rss", "Private"))}
        before = {pid: cpu(pid) for pid in tree}; time.sleep(seconds)
        for kind in ("serve", "proxy", "shim"):
            pids = [pid for pid in tree if tree[pid] == kind]; used = sum(cpu(pid) - before[pid] for pid in pids); m = [memory(pid) for pid in pids]
            print(f"{kind} ×{len(pids)}: {used / seconds * 100:.2f} % CPU; KiB at most: private {max(x['Private_Clean'] + x['Private_Dirty'] for x in m)}, resident {max(x['Rss'] for x in m)}")
        if "--hold" in sys.argv:
            print(" ".join(f"{k}={rig.env[k]}" for k in rig.env if k.startswith("FLIGHTDECK_")), flush=True); sys.stdin.read()
    finally: rig.end()

SCENARIOS = {f.__name__: f for f in (keys, bad, kills, pins, races, abort, idle)}
if __name__ == "__main__":
    for name in sys.argv[2:]:
        if name in SCENARIOS: print(f"== {name}", flush=True); SCENARIOS[name]()
