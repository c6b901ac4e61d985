#!/usr/bin/env python3
"""What somebody who may only watch can do to a server: starts one of its own, asks too much of it as another user
of this machine, over its unix socket, and prints what an operator sees meanwhile.

usage: watchers.py BINARY [SCENARIO…] [--seconds N] [--user NAME]

  calm      nothing: the figures to compare with
  diffs     two differences at a time of configurations of 1.2 MB, and of the largest that is taken
  refused   commands in vain with long names, as fast as they go
  unread    exports, ledger queries, boards and event streams whose answers nobody reads
  held      all connections that can be had, silent, and heads and bodies byte by byte
  lock      the lock file of the socket, if it can be opened, while the server is started again

Each scenario has a canary in flight with a lease of 5 s and lasts N seconds (20). Told are the worst and the median
of 100 answers of `healthz` and of an operator's pause or abort over a new connection, the server's memory (PSS) at
its most, what its data folder grew by, and whether the lease lapsed. Needs root, to be somebody else (nobody).
Everything lives in a scratch directory that is removed at the end.
"""
import grp, json, os, pwd, socket, statistics, subprocess, sys, threading, time

def option(name, default):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default

HEAD = "host: x\r\nflightdeck-wire: 2\r\n"


# ---- the one who watches: this part runs as the other user ---------------------------------------

def connect(path):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(path); return s

def ask(path, line, body, read=True):
    """One request; its whole answer, or the open connection."""
    s = connect(path)
    s.sendall(f"{line} HTTP/1.1\r\n{HEAD}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
    if not read: return s
    answer = b""
    while True:
        chunk = s.recv(65536)
        if not chunk: break
        answer += chunk
    s.close()
    return answer

def again(until, work, said):
    """Works until the time is over; counts the first line of each answer."""
    while time.time() < until:
        try:
            answer = work()
            key = answer.split(b"\r\n", 1)[0].decode()[:60] if isinstance(answer, bytes) else "open"
        except OSError as error:
            key = type(error).__name__
            time.sleep(0.01)
        said[key] = said.get(key, 0) + 1

def run(n, until, work):
    said = {}
    threads = [threading.Thread(target=again, args=(until, work, said), daemon=True) for _ in range(n)]
    for t in threads: t.start()
    for t in threads: t.join(max(0, until - time.time()) + 25)
    return said

def diffs(path, until):
    """Each line of them is wrong, or names what is not there: the most that a reader of it can be made to do."""
    def query(size):
        line = "unknown_key_{:06} = 1\n"
        text = "".join(line.format(n) for n in range(size // 25))
        return json.dumps({"type": "diff", "data": {"text": text, "path": "/x/flightdeck.toml"}}).encode()
    large, largest = query(1_200_000), query(1_040_000)
    first = {}
    t = threading.Thread(target=lambda: first.update(run(2, until, lambda: ask(path, "POST /v1/query", largest))))
    t.start()
    return {"1.2 MB": run(2, until, lambda: ask(path, "POST /v1/query", large)), "1.04 MB": (t.join(), first)[1]}

def refused(path, until):
    number = [0]
    def work():
        number[0] += 1
        name = "n" * (1_200_000 if number[0] % 50 == 0 else 500)
        target = {"source": "local", "kind": name[:500], "namespace": name[:500], "name": name, "uid": name[:500]}
        command = {"id": f"vain-{os.getpid()}-{number[0]}", "action": "abort", "pin": None, "reason": "r" * 1900,
                   "subject": {"type": "run", "data": {"target": target, "revision": name[:500]}}}
        return ask(path, "POST /v1/commands", json.dumps(command).encode())
    return run(8, until, work)

def unread(path, until):
    """As many as are given, 60 at most, each held open and never read; those that end are begun anew."""
    bodies = [b'{"type":"export_ledger"}', b'{"type":"ledger","data":{"limit":10000}}', b'{"type":"board"}', None]
    held, said, number = [], {}, [0]
    def work():
        if len(held) >= 60:
            held.pop(0).close()
        body = bodies[number[0] % 4]; number[0] += 1
        if body is None:
            s = connect(path); s.sendall(f"GET /v1/events HTTP/1.1\r\n{HEAD}\r\n".encode())
        else:
            s = ask(path, "POST /v1/query", body, read=False)
        held.append(s)
        time.sleep(0.1)
    again(until, work, said)
    return {**said, "held": len(held)}

def held(path, until):
    held, said = [], {}
    def work():
        s = connect(path); s.settimeout(None); held.append(s)
        kind = len(held) % 3
        if kind == 1: s.sendall(b"GET /healthz HTTP/1.1\r\nx: ")
        if kind == 2: s.sendall(f"POST /v1/query HTTP/1.1\r\n{HEAD}content-length: 100000\r\n\r\n".encode())
        if len(held) > 1500: time.sleep(0.1)
        for slow in held[-600:]:
            try: slow.send(b"y", socket.MSG_DONTWAIT)
            except OSError: pass
    again(until, work, said)
    alive = 0
    for s in held:
        try:
            s.setblocking(False)
            alive += s.recv(1) is None
        except BlockingIOError: alive += 1
        except OSError: pass
    return {**said, "tried": len(held), "open in the end": alive}

def lock(path, until):
    """Holds what it can open; says what that was."""
    import fcntl
    name = path.replace(".sock", ".lock")
    try:
        f = open(name)
    except OSError as error:
        return {"lock": f"can't be opened: {error.strerror}"}
    # The moment at which the server lets go is the watcher's.
    while time.time() < until + 30:
        try:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
            time.sleep(15)
            return {"lock": "taken for 15 s"}
        except OSError: time.sleep(0.001)
    return {"lock": "opened, never taken"}

ATTACKS = {"diffs": diffs, "refused": refused, "unread": unread, "held": held, "lock": lock}
if sys.argv[1] == "--as-watcher":
    print(json.dumps(ATTACKS[sys.argv[2]](sys.argv[3], float(sys.argv[4]))), flush=True)
    os._exit(0)


# ---- the operator ---------------------------------------------------------------------------------

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flight

SECONDS = int(option("--seconds", "20"))
WATCHER = pwd.getpwnam(option("--user", "nobody"))

def size(folder):
    total = 0
    for at, _, files in os.walk(folder):
        for name in files:
            try: total += os.lstat(os.path.join(at, name)).st_blocks * 512
            except OSError: pass
    return total

def pss(pid):
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"): return int(line.split()[1]) / 1024

def answered(path, line, body=b""):
    """How long one request over a new connection takes, in milliseconds, and its status."""
    began = time.monotonic()
    try:
        answer = ask(path, line, body)
        status = answer.split(b" ", 2)[1].decode() if answer else "none"
    except OSError as error:
        status = type(error).__name__
    return (time.monotonic() - began) * 1000, status

def group_of(user):
    return grp.getgrgid(user.pw_gid).gr_name

class Rig(flight.Rig):
    def __init__(self):
        super().__init__(steps='[{ set_weight = 10 }, { pause = {} }, { set_weight = 50 }, { pause = {} }]')
        self.toml = self.toml.replace('"critical"', '"standard"')
        open(f"{self.dir}/flightdeck.toml", "w").write(self.toml)
        # Who only watches comes as far as the socket, and no further.
        os.chmod(self.dir, 0o711)
        self.env["FLIGHTDECK_SERVE_OPERATORS"] = pwd.getpwuid(os.getuid()).pw_name
    def serve(self):
        super().serve("--group", group_of(WATCHER), "--lease", "5s")
    def serve_again(self):
        """As a service manager does: again, until it starts."""
        while time.monotonic():
            p = subprocess.Popen([flight.BIN, "serve", "--group", group_of(WATCHER), "--lease", "5s"], env=self.env,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for said in p.stderr:
                if "listens at" in said:
                    threading.Thread(target=p.stderr.read, daemon=True).start()
                    self.server = p
                    return
            p.wait(); print("  restart   refused:", said.strip()[:150]); time.sleep(2)
    def end(self):
        self.server.terminate()
        try: self.server.wait(20)
        except subprocess.TimeoutExpired:
            print("  it does not end in 20 s: killed"); self.server.kill(); self.server.wait()
        super().end()

def rig():
    r = Rig()
    r.serve(); r.cli("apply", f"{r.dir}/flightdeck.toml", "--yes")
    for version in ("1.0.0", "2.0.0"): r.release(version)
    r.deploy("1.0.0"); r.until("1.0.0 serves", flight.serves(r, "1.0.0"))
    canary(r)
    return r

def canary(r):
    r.until("a canary stands at 10 %", lambda: deployed(r))

def deployed(r):
    row = r.rollout()
    if row["phase"] == "paused" and row["step"] == 1: return True
    if row["phase"] in ("healthy", "aborted"):
        r.cli("deploy", "shop", "2.0.0", "--to", "production", "--yes", "--reason", "again", check=False)

def abort(r, run, n):
    body = {"id": f"abort-{os.getpid()}-{time.monotonic_ns()}-{n}", "action": "abort", "pin": None, "reason": "worst of 100",
            "subject": {"type": "run", "data": run}}
    return answered(r.sock, "POST /v1/commands", json.dumps(body).encode())

def measured(r, until):
    """100 healthz and 100 aborts, spread over the time; the aborted run is over, so that most are answered by a
    decision alone, and the first by the engine and the proxy."""
    run = r.rollout()["run"]
    health, aborts, statuses, most = [], [], {}, 0
    step = max(0.0, (until - time.time() - 1) / 100)
    for n in range(100):
        began = time.monotonic()
        took, status = answered(r.sock, "GET /healthz"); health.append(took)
        statuses["healthz " + status] = statuses.get("healthz " + status, 0) + 1
        # Early enough for a server that is slow, late enough for a lease to lapse meanwhile.
        if n >= 50 or time.time() > until - SECONDS / 3:
            took, status = abort(r, run, n); aborts.append(took)
            statuses["abort " + status] = statuses.get("abort " + status, 0) + 1
            took, status = abort(r, run, -n); aborts.append(took)
            statuses["abort " + status] = statuses.get("abort " + status, 0) + 1
        most = max(most, pss(r.server.pid))
        time.sleep(max(0, step - (time.monotonic() - began)))
        if time.time() > until + 100: break
    return health, aborts, statuses, most

def watcher(scenario, r, until):
    return subprocess.Popen(["setpriv", f"--reuid={WATCHER.pw_uid}", f"--regid={WATCHER.pw_gid}", "--clear-groups",
        sys.executable, os.path.abspath(__file__), "--as-watcher", scenario, r.sock, str(until)],
        stdout=subprocess.PIPE, text=True, cwd="/")

def scenario(name):
    r = rig()
    try:
        if name == "unread": long_ledger(r)
        before = size(r.dir + "/data"), pss(r.server.pid), records(r)
        until = time.time() + SECONDS
        attack = watcher(name, r, until) if name != "calm" else None
        health, aborts, statuses, most = measured(r, until)
        restart = None
        if name == "lock":
            r.server.terminate(); r.server.wait(30)
            began = time.monotonic(); r.serve_again(); restart = time.monotonic() - began
        said = attack.communicate(timeout=90)[0].strip() if attack else ""
        lapses = sum("nobody renewed the lease" in line or "lease lapsed" in line.lower() for line in open(proxy_log(r), errors="replace"))
        after = size(r.dir + "/data"), pss(r.server.pid), records(r)
        print(f"\n{name}: {said}")
        for what, ms in ("healthz", health), ("abort", aborts):
            if ms: print(f"  {what:9} median {statistics.median(ms):8.1f} ms   worst of {len(ms)} {max(ms):9.1f} ms")
            else: print(f"  {what:9} never came to it")
        print(f"  answers   {statuses}")
        print(f"  memory    {before[1]:.0f} MB before, {most:.0f} at most, {after[1]:.0f} after")
        print(f"  disk      +{(after[0] - before[0]) / 1024:.0f} KiB, ledger records {before[2]} → {after[2]}")
        print(f"  lease     {lapses} lapsed")
        if restart is not None: print(f"  restart   answered after {restart:.1f} s")
        sys.stdout.flush()
    finally:
        r.end()

def long_ledger(r, count=20_000):
    """As after a year of work: 20 MB of records."""
    import sqlite3
    r.server.terminate(); r.server.wait(30)
    body = json.dumps({"type": "started", "data": {"epoch": 1, "version": "x" * 900}})
    with sqlite3.connect(f"{r.dir}/data/ledger/ledger.db") as db:
        (last,) = db.execute("SELECT count FROM head").fetchone()
        rows = ((last + n, "2026-01-01T00:00:00Z", "started", str(n), 0, body, bytes(32)) for n in range(1, count + 1))
        db.executemany("INSERT INTO records (seq, at, kind, subject, finished, body, hash) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("UPDATE head SET count = ?, hash = ?", (last + count, bytes(32)))
    flight.Rig.serve(r, "--group", group_of(WATCHER), "--lease", "5s")
    canary(r)

def records(r):
    import sqlite3
    with sqlite3.connect(f"file:{r.dir}/data/ledger/ledger.db?mode=ro", uri=True) as db:
        return db.execute("SELECT count(*) FROM records").fetchone()[0]

def proxy_log(r):
    found = subprocess.run(["find", r.dir + "/data/proxy", "-name", "out.log"], capture_output=True, text=True).stdout.split()
    return found[0] if found else os.devnull

if __name__ == "__main__":
    if os.getuid(): raise SystemExit("only root can be somebody else: start it as root")
    names = [name for name in sys.argv[2:] if name in (*ATTACKS, "calm")] or ["calm", *ATTACKS]
    print(f"{SECONDS} s each, as {WATCHER.pw_name}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    for name in names: scenario(name)
