#!/usr/bin/env python3
"""Measures the proxy beside HAProxy on the same work, paired in one run.

usage: proxy.py BINARY [--rounds 10] [--seconds 4] [--slices 30] [--only closed,open,idle,tls,handshakes]

Needs haproxy, nginx, wrk, cc and two cores; as root it also keeps other work off (nice, SCHED_FIFO).
Each proxy runs pinned to core 1 with one worker; the load and nginx, which answers 200 with 100 bytes,
run on core 0. Both proxies split requests by halves over two pools and add X-Forwarded-For, -Proto,
-Host and a request id. Rounds take turns, in another order each time.

  closed  wrk, 32 kept-alive connections: requests per CPU-second of the proxy's process
  open    open_loop at half of the slower one's closed rate, in slices of a second: p50 and p99 above a
          slice straight to nginx. A virtual machine's host takes the cores away now and then, and 1 % of
          the time decides a p99: until there are enough pairs without more of that, shown beside all
  idle    resident memory with 1,000 connections, each used once: at once, and when they have been idle for 5 s
  tls     as closed, over TLS 1.3 with a certificate on P-256
  handshakes  as tls, with a connection for each request: handshakes per CPU-second

Prints a line a round, then one JSON object with medians and the medians of the paired ratios; of what is
above a straight run, which may be next to nothing or below, the ratio of the medians.
"""
import argparse, json, os, random, re, shutil, socket, ssl, statistics, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
ROOT = os.geteuid() == 0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pinned(core, *command, realtime=False):
    how = ["taskset", "-c", str(core)]
    if ROOT:
        how += ["chrt", "-f", "5"] if realtime else ["nice", "-n", "-10"]
    return how + [str(part) for part in command]


def answers(port, tls=False):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s = context.wrap_socket(s) if tls else s
            s.sendall(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
            return s.recv(12) == b"HTTP/1.1 200"
    except OSError:
        return False


def wait_for(what, condition):
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"not within 10 s: {what}")
        time.sleep(0.01)


def stolen():
    """Seconds that the host took from the cores so far."""
    return int(Path("/proc/stat").read_text().split()[8]) / TICKS


def quiet(pairs):
    """Those in which the host took at most 1 % of a slice."""
    return [pair for pair in pairs if all(one["stolen"] <= 0.01 for one in pair.values())]


class Process:
    """One server. Its own process id is that of the command: taskset and the others exec."""

    def __init__(self, name, port, command, **how):
        self.name, self.port = name, port
        self.child = subprocess.Popen(command, **how)

    def cpu(self):
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.child.pid}/status").read_text())[1])

    def end(self):
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()


def nginx(dir, ports):
    servers = "".join(f'server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{"x" * 100}"; }} }}\n' for port in ports)
    (dir / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}; proxy_temp_path {dir};
fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir}; {servers} }}""")
    return pinned(0, shutil.which("nginx") or "/usr/sbin/nginx", "-c", dir / "nginx.conf", "-p", dir)


def certificate(dir):
    """A certificate that signs itself, its key, and both in one file as HAProxy wants them."""
    cert, key, both = dir / "cert.pem", dir / "key.pem", dir / "both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=t", "-addext", "subjectAltName=DNS:t", "-keyout", key, "-out", cert], check=True, capture_output=True)
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    return cert, key, both


def haproxy(dir, port, ports, realtime, pem=None):
    secure = f"ssl crt {pem[2]} alpn h2,http/1.1" if pem else ""
    (dir / "haproxy.cfg").write_text(f"""
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend users
    bind 127.0.0.1:{port} backlog 4096 {secure}
    option forwardfor
    http-request set-header X-Forwarded-Proto {"https" if pem else "http"}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Request-Id %[uuid()] unless {{ req.hdr(x-request-id) -m found }}
    use_backend candidate if {{ rand(2) eq 1 }}
    default_backend stable
backend stable
    server s1 127.0.0.1:{ports[0]}
backend candidate
    server c1 127.0.0.1:{ports[1]}
""")
    return Process("haproxy", port, pinned(1, shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", dir / "haproxy.cfg", realtime=realtime))


def flightdeck(dir, binary, port, ports, realtime, pem=None):
    for old in ("proxy.sock", "state.json"):
        (dir / old).unlink(missing_ok=True)
    command = pinned(1, binary, "proxy", "--socket", dir / "proxy.sock", "--state", dir / "state.json", realtime=realtime)
    process = Process("flightdeck", port, command, stderr=subprocess.DEVNULL)
    wait_for("the proxy's socket", (dir / "proxy.sock").exists)
    pools = [{"pool": role, "role": {"type": role}, "version": role, "weight": 500_000,
              "endpoints": [{"instance": role, "address": f"127.0.0.1:{to}"}]} for role, to in zip(("stable", "candidate"), ports)]
    route = {"listener": "bench@here", "version": 1, "listen": f"127.0.0.1:{port}", "pools": pools, "fallback": None}
    if pem:
        route["options"] = {"ingress": {"certificates": [{"cert": str(pem[0]), "key": str(pem[1])}]}}
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(dir / "proxy.sock"))
        lines = control.makefile("rw")
        for number, body in enumerate(({"type": "hello", "data": {"wire": 1}}, {"type": "set_route", "data": route}), 1):
            lines.write(json.dumps({"id": number, "body": body}) + "\n")
            lines.flush()
            answer = json.loads(lines.readline())
            if answer["body"]["type"] == "refused":
                sys.exit(f"refused: {answer}")
    return process


class Bench:
    def __init__(self, args):
        self.args, self.dir = args, Path(tempfile.mkdtemp(prefix="proxy-bench-"))
        self.upstream = [free_port(), free_port()]
        self.nginx = Process("nginx", self.upstream[0], nginx(self.dir, self.upstream))
        self.generator = self.dir / "open_loop"
        subprocess.run(["cc", "-O2", "-o", self.generator, HERE / "open_loop.c"], check=True)
        wait_for("nginx", lambda: answers(self.upstream[0]))

    def start(self, name, realtime=False, pem=None):
        port = free_port()
        make = {"haproxy": lambda: haproxy(self.dir, port, self.upstream, realtime, pem),
                "flightdeck": lambda: flightdeck(self.dir, self.args.binary, port, self.upstream, realtime, pem)}
        process = make[name]()
        wait_for(name, lambda: answers(port, pem is not None))
        return process

    def rounds(self, what, one, most=None, enough=lambda pairs: False):
        """Each round both, in another order each time: pairs."""
        got = []
        for number in range(most or self.args.rounds):
            if enough(got):
                break
            names = random.sample(["flightdeck", "haproxy"], 2)
            pair = {name: one(name) for name in names}
            print(f"{what} {number + 1}: {json.dumps(pair)}", file=sys.stderr, flush=True)
            got.append(pair)
        return got

    def closed(self, name, pem=None, header=()):
        process = self.start(name, ROOT, pem)
        url = f"{'https' if pem else 'http'}://127.0.0.1:{process.port}/"
        wrk = lambda seconds: ("wrk", "-t1", "-c32", f"-d{seconds}s", *header, url)
        command = lambda seconds: pinned(0, *wrk(seconds), realtime=ROOT)
        subprocess.run(command(1), check=True, capture_output=True)
        before = process.cpu()
        out = subprocess.run(command(self.args.seconds), check=True, capture_output=True, text=True).stdout
        cpu = process.cpu() - before
        process.end()
        requests = int(re.search(r"(\d+) requests in", out)[1])
        bad = re.search(r"Non-2xx.*|Socket errors.*", out)
        if bad:
            print(f"{name}: {bad[0]}", file=sys.stderr)
        return {"per_cpu_second": round(requests / cpu), "per_second": round(requests / self.args.seconds)}

    def open(self, rate):
        """Slices until enough pairs were quiet. Both proxies live through all of them, warm: only one works at a time."""
        def load(port):
            command = pinned(0, self.generator, port, rate, 64, 1, realtime=True)
            before, began = stolen(), time.monotonic()
            count, failures, p50, p99 = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
            share = (stolen() - before) / (time.monotonic() - began) / os.cpu_count()
            if failures:
                print(f"{failures} failures of {count}", file=sys.stderr)
            return p50, p99, share

        proxies = {name: self.start(name, realtime=ROOT) for name in ("flightdeck", "haproxy")}

        def one(name):
            direct, process = load(self.upstream[0]), proxies[name]
            before = process.cpu()
            through = load(process.port)
            return {"p50": through[0] - direct[0], "p99": through[1] - direct[1], "cpu": round(process.cpu() - before, 2),
                    "stolen": round(max(direct[2], through[2]), 3)}

        for process in proxies.values():
            load(process.port)
        wanted = self.args.slices
        pairs = self.rounds("open", one, 6 * wanted, lambda pairs: len(quiet(pairs)) >= wanted)
        for process in proxies.values():
            process.end()
        return pairs

    def idle(self, name):
        process = self.start(name)
        users = []
        for _ in range(1000):
            user = socket.create_connection(("127.0.0.1", process.port))
            user.sendall(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n")
            users.append(user)
            user.recv(4096)
        at_once = process.rss()
        time.sleep(5)
        rss = process.rss()
        process.end()
        return {"rss_kib_at_once": at_once, "rss_kib": rss}

    def run(self):
        args, result = self.args, {}
        if ROOT:
            subprocess.run(["chrt", "-a", "-f", "-p", "5", str(self.nginx.child.pid)], check=True)

        def figures(pairs, key):
            median = lambda values: round(statistics.median(values), 3)
            ratios = [pair["flightdeck"][key] / pair["haproxy"][key] for pair in pairs if pair["haproxy"][key]]
            return {"flightdeck": median([pair["flightdeck"][key] for pair in pairs]),
                    "haproxy": median([pair["haproxy"][key] for pair in pairs]),
                    "ratio": median(ratios), "ratio_from_to": [round(min(ratios), 3), round(max(ratios), 3)]}

        def above(pairs, key):
            ours, theirs = (statistics.median(pair[name][key] for pair in pairs) for name in ("flightdeck", "haproxy"))
            return {"flightdeck": round(ours, 2), "haproxy": round(theirs, 2), "ratio": round(ours / theirs, 3)}

        rate = args.rate
        if "closed" in args.only:
            pairs = self.rounds("closed", self.closed)
            result["requests_per_cpu_second"] = figures(pairs, "per_cpu_second")
            result["requests_per_second"] = figures(pairs, "per_second")
            rate = rate or round(min(statistics.median(pair[name]["per_second"] for pair in pairs) for name in pairs[0]) / 2)
        if "open" in args.only:
            rate = rate or 10_000
            pairs = self.open(rate)
            result["open_loop"] = {"rate": rate, "pairs": len(pairs), "quiet": len(quiet(pairs)),
                                   **{f"{name}_{key}": above(those, key) for name, those in (("quiet", quiet(pairs)), ("all", pairs)) if those
                                      for key in ("p50", "p99", "cpu")}}
        if "idle" in args.only:
            pairs = self.rounds("idle", self.idle)
            result["rss_kib_1000_used"] = figures(pairs, "rss_kib_at_once")
            result["rss_kib_1000_idle"] = figures(pairs, "rss_kib")
        pem = certificate(self.dir)
        if "tls" in args.only:
            pairs = self.rounds("tls", lambda name: self.closed(name, pem))
            result["tls_requests_per_cpu_second"] = figures(pairs, "per_cpu_second")
        if "handshakes" in args.only:
            pairs = self.rounds("handshakes", lambda name: self.closed(name, pem, ("-H", "Connection: close")))
            result["tls_handshakes_per_cpu_second"] = figures(pairs, "per_cpu_second")
        self.nginx.end()
        shutil.rmtree(self.dir)
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--slices", type=int, default=30, help="quiet pairs of the open loop; at most six times as many are tried")
    parser.add_argument("--rate", type=int, default=0, help="of the open loop; half of the slower one's closed rate without it")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["closed", "open", "idle", "tls", "handshakes"])
    missing = [tool for tool in ("haproxy", "nginx", "wrk", "cc", "openssl", "taskset") if not shutil.which(tool) and not Path(f"/usr/sbin/{tool}").exists()]
    if missing:
        sys.exit(f"missing: {', '.join(missing)} (apt-get install haproxy nginx-light wrk gcc openssl util-linux)")
    Bench(parser.parse_args()).run()
