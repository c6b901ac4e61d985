#!/usr/bin/env python3
"""Drives a cockpit in tmux by keys on a real Kubernetes control plane with Argo Rollouts, and prints for
each step: what was sent to the API server (its audit log), the receipt's stages with times, and what
kubectl and the official plugin say in the end.

usage: cluster.py BINARY CLUSTER SCENARIO…     (CLUSTER: the folder of `tests/cluster/cluster up`)

  canary    promoted, paused, aborted, aborted while paused, aborted right after promote full (beside the
            official plugin, which loses that one), retried, undone, held and released
  others    a blue/green promoted; a Deployment paused, resumed, restarted, undone; a StatefulSet undone
  accounts  the reader sees all and changes nothing; the operator patches and nothing more
  contexts  three contexts, one unreachable, one slow by 5 s: the third is complete as fast as alone

Each scenario has a namespace and a scratch directory of its own, both removed at the end. Needs tmux.
"""
import json, os, re, shutil, socket, sqlite3, subprocess, sys, tempfile, threading, time
from datetime import datetime

BIN, CLUSTER = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
BUILT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "target", "cluster", "bin")

def parse(moment): return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", moment.replace("Z", "+00:00")))
def ms(a, b): return round((parse(b) - parse(a)).total_seconds() * 1000)

def until(what, found, limit=60):
    end = time.time() + limit
    while time.time() < end:
        try:
            it = found()
            if it: return it
        except (KeyError, IndexError, ValueError, sqlite3.Error): pass
        time.sleep(0.05)
    raise SystemExit(f"waited {limit} s in vain: {what}")

class Desk:
    """A namespace, a configuration and a cockpit."""
    def __init__(self, name, user="operator", tier="standard"):
        self.ns, self.user = f"{name}-{os.getpid()}", user
        self.dir = tempfile.mkdtemp(prefix="desk-"); self.seen = 0
        self.kubectl("create", "namespace", self.ns)
        self.config(f'[sources.prod]\nkubeconfig = "{CLUSTER}/{user}.kubeconfig"\nnamespaces = ["{self.ns}"]\nenvironment = "production"\ntier = "{tier}"\n')
    def config(self, text):
        os.makedirs(f"{self.dir}/config", exist_ok=True); open(f"{self.dir}/config/config.toml", "w").write(text)
    def env(self): return {f"FLIGHTDECK_{k}_DIR": f"{self.dir}/{k.lower()}" for k in ("CONFIG", "DATA", "STATE", "RUNTIME")}
    def run(self, program, *words, stdin=None, check=True):
        r = subprocess.run([os.path.join(BUILT, program), f"--kubeconfig={CLUSTER}/admin.kubeconfig", *words], capture_output=True, text=True, input=stdin)
        if check and r.returncode: raise SystemExit(f"{program} {words}: {r.stdout}{r.stderr}")
        return r.stdout
    def kubectl(self, *words, **more): return self.run("kubectl", *words, **more)
    def argo(self, *words, **more): return self.run("kubectl-argo-rollouts", "-n", self.ns, *words, **more)
    def apply(self, *objects): self.kubectl("-n", self.ns, "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    def get(self, what): return json.loads(self.kubectl("-n", self.ns, "get", what, "-o", "json"))
    def version(self, what, version): self.kubectl("-n", self.ns, "patch", what, "--type=json", "-p", json.dumps([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"registry.test/shop:{version}"}]))
    def cockpit(self, wait, size="120x36"):
        w, h = size.split("x"); self.tmux = f"{self.ns}"
        env = [x for k, v in self.env().items() for x in ("-e", f"{k}={v}")]
        subprocess.run(["tmux", "new-session", "-d", "-s", self.tmux, "-x", w, "-y", h, *env, BIN], check=True)
        until(f"the deck shows {wait}", lambda: re.search(wait, self.screen()), 20)
    def screen(self): return subprocess.run(["tmux", "capture-pane", "-p", "-t", self.tmux], capture_output=True, text=True).stdout
    def keys(self, *keys):
        for key in keys: subprocess.run(["tmux", "send-keys", "-t", self.tmux, key], check=True); time.sleep(0.12)
    def type(self, text): subprocess.run(["tmux", "send-keys", "-t", self.tmux, "-l", text], check=True); time.sleep(0.1)
    def select(self, service): self.keys("Escape"); self.keys("/"); self.type(service); self.keys("Enter"); time.sleep(0.3)
    def palette(self, command): self.keys(":"); self.type(command); self.keys("Enter")
    def confirm(self, challenged=True):
        """Gives what the dialog asks for, if one opens."""
        time.sleep(1.0); screen = self.screen(); challenge = re.search(r"│\s*type\s+(.+?)\s{2,}", screen)
        if challenge: print("   challenge:", challenge[1]); self.type(challenge[1].rstrip(" ›")); self.keys("Enter")
        elif challenged: self.keys("y")
    def receipts(self):
        ledger = sqlite3.connect(f"file:{self.dir}/data/ledger/ledger.db?mode=ro", uri=True)
        found = {}
        for seq, at, kind, body in ledger.execute("SELECT seq, at, kind, body FROM records ORDER BY seq"):
            body = json.loads(body); body = body.get("data", body)
            if kind == "requested": r = body["receipt"]; found[r["id"]] = {"action": r["command"]["action"], "stages": list(r["stages"])}
            elif kind == "stage" and body["receipt"] in found: found[body["receipt"]]["stages"].append(body["stage"])
            elif kind == "refused": r = body["receipt"]; found[r["id"]] = {"action": r["command"]["action"], "stages": list(r["stages"])}
        ledger.close(); return list(found.values())
    def audit(self):
        events = [json.loads(line) for line in open(f"{CLUSTER}/audit.log") if f'"{self.ns}"' in line]
        return [e for e in events if e["user"]["username"] == self.user and e["stage"] == "ResponseComplete" and e["verb"] not in ("get", "list", "watch") and e["objectRef"].get("namespace") == self.ns]
    def final(self, action, before, expect="effective", limit=90):
        """The newest receipt of that action, once it is final; prints it and what was sent."""
        def found():
            for r in self.receipts()[before:]:
                if r["action"] == action and r["stages"][-1]["stage"]["type"] in ("effective", "refused", "failed", "timed_out", "superseded", "reverted"): return r
        try: r = until(f"a final receipt of {action}", found, limit)
        except SystemExit: print(self.screen()); print(self.receipts()[-1:]); raise
        stages = r["stages"]
        print(f"   receipt {action}: " + " → ".join(f"{s['stage']['type']} +{ms(stages[0]['at'], s['at'])} ms" for s in stages))
        print("   says:", json.dumps(stages[-1]["stage"].get("data"), ensure_ascii=False))
        sent = self.audit()
        for e in sent[self.seen:]:
            o = e["objectRef"]; sub = "/" + o["subresource"] if "subresource" in o else ""
            print(f"   sent: {e['verb']} {o['resource']}{sub} {o['name']} {json.dumps(e.get('requestObject'))[:400]} → {e['responseStatus']['code']}")
        self.seen = len(sent)
        if expect and stages[-1]["stage"]["type"] != expect: print(self.screen()); raise SystemExit(f"expected {expect}")
        return r
    def act(self, what, key, action, challenged=True, expect="effective"):
        print(what); before = len(self.receipts()); (self.palette(key) if len(key) > 1 else self.keys(key)); self.confirm(challenged); return self.final(action, before, expect)
    def state(self, name, kind="rollout"):
        if kind == "rollout":
            o = self.get(f"rollout/{name}"); s = o["status"]
            sets = {i["metadata"]["name"]: f"{i['status'].get('readyReplicas', 0)}/{i['spec']['replicas']} {i['spec']['template']['spec']['containers'][0]['image'].split(':')[-1]}" for i in self.get("replicasets")["items"] if i["metadata"]["ownerReferences"][0]["name"] == name and i["spec"]["replicas"]}
            print("   kubectl:", s.get("phase"), s.get("message", ""), "step", s.get("currentStepIndex"), sets)
            print("   plugin: ", " / ".join(x.strip() for x in self.argo("status", name, "--watch=false", check=False).splitlines()[:2]))
        else:
            print("   kubectl:", self.kubectl("-n", self.ns, "get", kind, name, "-o", "custom-columns=READY:.status.readyReplicas,UPDATED:.status.updatedReplicas,PAUSED:.spec.paused,IMAGE:.spec.template.spec.containers[0].image", "--no-headers").strip(),
                "|", self.kubectl("-n", self.ns, "rollout", "history", f"{kind}/{name}").strip().splitlines()[-1] if kind != "daemonset" else "")
    def phase(self, name, phase, message=""): until(f"{name} {phase} {message}", lambda: (s := self.get(f"rollout/{name}")["status"]).get("phase") == phase and message in s.get("message", ""))
    def row(self, regex, limit=20):
        """Waits until the screen shows it."""
        try: until(regex, lambda: re.search(regex, self.screen()), limit)
        except SystemExit: print(self.screen()); raise
    def end(self):
        if getattr(self, "tmux", None): subprocess.run(["tmux", "kill-session", "-t", self.tmux], capture_output=True)
        self.kubectl("delete", "namespace", self.ns, "--wait=false"); shutil.rmtree(self.dir, ignore_errors=True)

def template(name, version): return {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": f"registry.test/shop:{version}"}], "terminationGracePeriodSeconds": 0}}
def workload(api, kind, name, **spec): return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}
def canary(name, steps=({"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}), version="1.0"):
    return workload("argoproj.io/v1alpha1", "Rollout", name, replicas=5, minReadySeconds=2, selector={"matchLabels": {"app": name}}, template=template(name, version), strategy={"canary": {"steps": list(steps)}})

def canary_keys():
    desk = Desk("canary")
    try:
        desk.apply(canary("shop")); desk.phase("shop", "Healthy"); desk.cockpit("shop"); desk.select("shop")
        def release(version): desk.version("rollout/shop", version); desk.phase("shop", "Paused", "CanaryPauseStep"); desk.row(rf"{re.escape(version)}.*(paused|Paused)")
        release("1.1"); desk.act("promote past a pause", "p", "promote"); desk.phase("shop", "Paused"); desk.state("shop")
        desk.act("pause by hand", "z", "pause", challenged=False); desk.state("shop")
        desk.act("abort while paused", "a", "abort"); desk.state("shop")
        desk.act("retry", "retry", "retry"); desk.phase("shop", "Paused"); desk.state("shop")
        desk.act("abort", "a", "abort"); desk.state("shop")
        desk.act("undo: back to the version before", "b", "rollback"); desk.phase("shop", "Healthy"); desk.state("shop")
        release("1.2"); print("abort right after promote full"); before = len(desk.receipts())
        desk.palette("promote-full"); desk.confirm(); desk.keys("a"); time.sleep(0.4); desk.keys("y"); desk.final("abort", before); time.sleep(5); desk.state("shop")
        print("   the same with the official plugin:"); desk.apply(canary("bank")); desk.phase("bank", "Healthy"); desk.version("rollout/bank", "2.0"); desk.phase("bank", "Paused")
        desk.argo("promote", "bank", "--full"); desk.argo("abort", "bank"); time.sleep(8); desk.state("bank")
        desk.select("shop"); desk.act("undo after it", "b", "rollback"); desk.phase("shop", "Healthy")
        release("1.3"); desk.act("hold the line", "H", "hold"); desk.state("shop"); print("   marks:", desk.get("rollout/shop")["metadata"]["annotations"].get("flightdeck.dev/hold"))
        desk.act("release it", "release-hold", "release"); desk.state("shop")
        print(desk.screen())
    finally: desk.end()

def others():
    desk = Desk("others")
    try:
        service = lambda n: {"apiVersion": "v1", "kind": "Service", "metadata": {"name": n}, "spec": {"selector": {"app": "bank"}, "ports": [{"port": 80}]}}
        desk.apply(service("bank-active"), service("bank-preview"), workload("argoproj.io/v1alpha1", "Rollout", "bank", replicas=2, selector={"matchLabels": {"app": "bank"}}, template=template("bank", "1.0"),
            strategy={"blueGreen": {"activeService": "bank-active", "previewService": "bank-preview", "autoPromotionEnabled": False}}),
            workload("apps/v1", "Deployment", "web", replicas=3, minReadySeconds=4, selector={"matchLabels": {"app": "web"}}, template=template("web", "1.0")),
            workload("apps/v1", "StatefulSet", "store", replicas=2, serviceName="store", selector={"matchLabels": {"app": "store"}}, template=template("store", "1.0")))
        desk.phase("bank", "Healthy"); until("store", lambda: desk.get("statefulset/store")["status"].get("readyReplicas") == 2); until("web", lambda: desk.get("deployment/web")["status"].get("readyReplicas") == 3)
        desk.version("rollout/bank", "2.0"); desk.phase("bank", "Paused"); desk.cockpit("bank"); desk.select("bank")
        desk.act("promote a blue/green", "p", "promote"); desk.phase("bank", "Healthy"); desk.state("bank"); print("   active selects:", desk.get("service/bank-active")["spec"]["selector"])
        desk.select("web"); desk.version("deployment/web", "2.0"); desk.row(r"→ 2\.0")
        desk.act("pause a Deployment", "z", "pause", challenged=False); desk.state("web", "deployment")
        desk.act("resume it", "u", "resume"); until("web 3", lambda: (s := desk.get("deployment/web")["status"]).get("updatedReplicas") == 3 and s.get("availableReplicas") == 3 and s.get("replicas") == 3); desk.state("web", "deployment"); time.sleep(1)
        desk.act("restart it", "restart", "restart"); desk.state("web", "deployment")
        desk.act("undo it", "b", "rollback"); desk.state("web", "deployment")
        desk.select("store"); desk.version("statefulset/store", "2.0"); until("store 2.0", lambda: (s := desk.get("statefulset/store")["status"]).get("currentRevision") == s.get("updateRevision") and s.get("readyReplicas") == 2); time.sleep(1)
        desk.act("undo a StatefulSet", "b", "rollback"); desk.state("store", "statefulset")
        print(desk.screen())
    finally: desk.end()

def accounts():
    for user in ("readonly", "operator"):
        desk = Desk(f"accounts-{user}", user)
        try:
            desk.apply(canary("shop")); desk.phase("shop", "Healthy"); desk.version("rollout/shop", "1.1"); desk.phase("shop", "Paused"); desk.cockpit("shop"); desk.select("shop"); desk.row("1.1")
            print(f"{user}:")
            for key in ("p", "z", "a", "b"):
                desk.keys(key); time.sleep(1); print(f"   {key}:", next((l.strip(" │") for l in desk.screen().splitlines() if "lack" in l), "(a dialog)" if user == "operator" else "?")); desk.keys("Escape"); desk.keys("Escape")
            print(desk.screen() if user == "readonly" else "")
            every = [json.loads(line) for line in open(f"{CLUSTER}/audit.log")]
            print("   all that it ever changed:", sorted({f"{e['verb']} {e['objectRef']['resource']}" + "/" * ("subresource" in e["objectRef"]) + e["objectRef"].get("subresource", "")
                for e in every if e["user"]["username"] == user and e["stage"] == "ResponseComplete" and e["verb"] not in ("get", "list", "watch") and e["objectRef"].get("apiGroup") not in ("authorization.k8s.io", "authentication.k8s.io")}))
            for e in desk.audit(): print("   changed:", e["verb"], e["objectRef"].get("resource"), e["objectRef"].get("subresource", ""), e["responseStatus"]["code"])
            for verb, what in (("patch", "deployments.apps"), ("patch", "rollouts.argoproj.io/status"), ("delete", "pods"), ("update", "deployments.apps"), ("create", "rollouts.argoproj.io"), ("get", "secrets")):
                answer = subprocess.run([os.path.join(BUILT, "kubectl"), f"--kubeconfig={CLUSTER}/{user}.kubeconfig", "auth", "can-i", verb, *( what.split("/")[:1]), *(["--subresource=status"] if "/status" in what else []), "-n", desk.ns], capture_output=True, text=True).stdout.strip()
                print(f"   may {verb} {what}: {answer}")
        finally: desk.end()

def contexts():
    """A TCP relay that holds each new connection and each chunk of the server's for 5 s stands in for a slow network."""
    port = json.load(open(f"{CLUSTER}/cluster.json"))["port"]
    slow = socket.create_server(("127.0.0.1", 0)); slow_port = slow.getsockname()[1]
    def relay(a, b, delay):
        try:
            while data := a.recv(65536): time.sleep(delay); b.sendall(data)
        except OSError: pass
        for s in (a, b):
            try: s.shutdown(socket.SHUT_RDWR)
            except OSError: pass
    def accept():
        while True:
            try: a, _ = slow.accept()
            except OSError: return
            b = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=relay, args=(a, b, 0), daemon=True).start(); threading.Thread(target=relay, args=(b, a, 5), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    def other(desk, name, port):
        config = json.load(open(f"{CLUSTER}/operator.kubeconfig")); config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        path = f"{desk.dir}/{name}.kubeconfig"; json.dump(config, open(path, "w")); return path
    desk = Desk("contexts")
    try:
        desk.apply(canary("shop")); desk.phase("shop", "Healthy")
        alone = open(f"{desk.dir}/config/config.toml").read()
        dead = socket.create_server(("127.0.0.1", 0)); dead_port = dead.getsockname()[1]; dead.close()
        three = alone + "".join(f'[sources.{name}]\nkubeconfig = "{other(desk, name, p)}"\nnamespaces = ["{desk.ns}"]\n' for name, p in (("gone", dead_port), ("slow", slow_port)))
        def start():
            began = time.monotonic(); desk.cockpit(r"shop +production"); took = time.monotonic() - began
            return took
        for label, text in (("alone", alone), ("with one gone and one slow", three)) * 3:
            desk.config(text); took = start(); print(f"{label}: complete after {took * 1000:.0f} ms")
            if text == three: time.sleep(1); print("   header:", desk.screen().splitlines()[0].strip())
            if text == three: keep = desk.screen()
            subprocess.run(["tmux", "kill-session", "-t", desk.tmux], capture_output=True)
        print(keep)
    finally: desk.end(); slow.close()

SCENARIOS = {"canary": canary_keys, "others": others, "accounts": accounts, "contexts": contexts}
for name in sys.argv[3:]:
    print(f"== {name}"); SCENARIOS[name]()
