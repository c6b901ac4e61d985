#!/usr/bin/env python3
"""A backend for flightdeck in some 160 lines: docs/exec.md says what the lines mean.

Its platform is one rollout in a dictionary; a real one asks its own API instead. It supports
`flightdeck contract tests/contract/example.py`, which brings it into one situation after the other.
"""
import datetime, json, os, sys, time

ACTIONS = ["promote", "promote-full", "pause", "resume", "abort", "rollback", "retry", "restart"]
STEPS = [{"type": "set_weight", "data": 250000}, {"type": "pause", "data": {"duration": None}},
         {"type": "set_weight", "data": 500000}, {"type": "pause", "data": {"duration": None}}]
WORD = {"promote": "promoted", "promote-full": "promoted in full", "rollback": "rolled back", "retry": "begun anew"}
now = lambda: datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
platform, mood, scratch, source, pending = None, None, None, None, []


def say(kind, data):
    print(json.dumps({"type": kind, "data": data}), flush=True)


def target():
    return {"source": source, "kind": "app", "namespace": None, "name": "shop", "uid": platform["uid"]}


def row():
    """The rollout in the vocabulary's words, from the platform's."""
    p, weight = platform, platform["weight"]
    arm = lambda role, version, share: {
        "role": {"type": role}, "version": version, "digest": None, "replicas": {"ready": 2, "desired": 2},
        "traffic": {"desired": share, "actual": share, "how": "acknowledged"}}
    flight = p["phase"] in ("paused", "progressing")
    arms = [arm("stable", p["stable"], 1000000 - weight)] + ([arm("candidate", p["new"], weight)] if flight else [])
    offers = {"paused": ["promote", "promote-full", "abort", "rollback"], "aborted": ["retry"],
              "progressing": ["promote-full", "pause", "abort", "rollback"], "healthy": ["rollback", "restart"]}[p["phase"]]
    offers = offers + (["resume"] if p["by"] else [])
    waits = [{"type": "human", "data": {"what": "resume" if p["by"] else "promote to 50 % of traffic",
              "who": p["by"], "since": p["since"]}}] if p["phase"] == "paused" else []
    return {"run": {"target": target(), "revision": str(p["revision"])}, "service": "shop", "environment": "dev",
            "strategy": "canary", "steps": STEPS, "step": p["step"], "arms": arms, "phase": p["phase"], "waits": waits,
            "message": p["phase"], "started": p["since"], "since": p["since"], "author": "example", "offers": offers,
            "facts": {"workload": p["uid"], "revision": str(p["revision"]), "step": str(p["step"]),
                      "generation": str(p["generation"]), "candidate": p["new"]}}


def snapshot():
    say("update", {"type": "snapshot_begin"})
    if platform:
        say("update", {"type": "upsert", "data": {"type": "rollout", "data": row()}})
    say("update", {"type": "snapshot_end"})


def change(**fields):
    """Everything that changes gets a generation of its own: pins are made of it."""
    platform.update(fields, since=now(), generation=platform["generation"] + 1)
    say("update", {"type": "upsert", "data": {"type": "rollout", "data": row()}})


def carry_out(action, actor):
    p = platform
    if action == "promote":
        last = p["step"] + 2 > len(STEPS)
        change(step=len(STEPS), phase="healthy", stable=p["new"], weight=0) if last else change(step=3, weight=500000)
    elif action == "promote-full":
        change(step=len(STEPS), phase="healthy", stable=p["new"], weight=0, by=None)
    elif action in ("pause", "resume"):
        change(phase="paused" if action == "pause" else "progressing", by=actor if action == "pause" else None)
    elif action == "abort" or (action == "rollback" and p["phase"] != "healthy"):
        change(phase="aborted", weight=0, by=None)
    elif action == "rollback":
        change(revision=p["revision"] + 1, stable=p["before"], before=p["stable"], new=p["before"])
    elif action == "retry":
        change(revision=p["revision"] + 1, phase="paused", step=1, weight=250000)
    elif action == "restart":
        change(revision=p["revision"] + 1)


def answer(command, actor, pinned):
    """Decides and acts in one step: what was pinned must still be so. No: nothing was changed."""
    refuse = lambda kind, why, changes=(): {"type": "refused", "data": {"kind": kind, "why": why, "changes": list(changes)}}
    run = command["subject"]["data"]
    if not platform or run["target"]["uid"] != platform["uid"]:
        return refuse("not_found", "there is no such app any more")
    if mood == "stale":
        return {"type": "not_sent", "data": {"why": "the platform does not answer"}}
    if mood == "denied":
        return refuse("denied", "you lack deploy on app shop")
    current = row()
    moved = [{"fact": f, "pinned": v, "current": current["facts"].get(f)} for f, v in pinned.items() if current["facts"].get(f) != v]
    if moved:
        return refuse("pin_changed", "it changed since you looked: " + ", ".join(m["fact"] for m in moved), moved)
    if command["action"] not in current["offers"]:
        return refuse("not_applicable", f"shop is {platform['phase']}: it does not take {command['action']}")
    pending.append((command, actor))
    if mood != "uncontrolled":
        work()
    return {"type": "accepted", "data": {}}


def work():
    command, actor = pending.pop()
    carry_out(command["action"], actor["name"])
    proof = f"{WORD.get(command['action'], command['action'])}: {platform['phase']}, {platform['weight'] / 10000:g} % at the new one"
    say("stage", {"command": command["id"], "stage": {"type": "effective", "data": {"proof": {"text": proof}}}})


def situation(name):
    """For the contract suite only: brings the platform there, or says that it can't be."""
    global platform, mood
    fresh = {"uid": f"u-{time.time_ns()}", "revision": 2, "generation": 1, "stable": "1.0", "before": "0.9", "new": "1.1",
             "phase": "paused", "step": 1, "weight": 250000, "by": None, "since": now()}
    bases = {"paused": {}, "doomed": {"doomed": True}, "in_flight": {"phase": "progressing", "step": 0}, "aborted": {"phase": "aborted", "weight": 0},
             "settled": {"phase": "healthy", "stable": "1.1", "before": "1.0", "step": 4, "weight": 0}}
    if name in bases:
        platform = {**fresh, **bases[name]}
        snapshot()
    elif name == "changed":
        while pending:
            late = {"type": "superseded", "data": {"by": "1.2 came before it was carried out"}}
            say("stage", {"command": pending.pop()[0]["id"], "stage": late})
        change(revision=platform["revision"] + 1, new="1.2")
    elif name == "deleted":
        gone, platform = target(), None
        say("update", {"type": "remove", "data": {"type": "rollout", "data": gone}})
        return {"type": "ready", "data": {"target": gone}}
    elif name in ("denied", "slow", "cut", "stale", "interrupted", "uncontrolled", "restored"):
        mood = name  # slow and cut act on the next command, interrupted when this is answered
        stale = {"type": "stale", "data": {"since": now(), "why": "the platform does not answer"}}
        say("update", {"type": "link", "data": stale if name == "stale" else {"type": "live", "data": {"as_of": now()}}})
        while pending and name == "restored":
            work()
    else:
        return {"type": "cannot", "data": {"why": f"the example has no {name}"}}
    return {"type": "ready", "data": {"target": target()}}


for line in sys.stdin:  # its end is ours: flightdeck is gone
    ask = json.loads(line)
    kind, data = ask["type"], ask.get("data", {})
    if kind == "hello":
        source, scratch = data["source"], data.get("scratch")
        if scratch and os.path.exists(f"{scratch}/platform.json"):
            platform = json.load(open(f"{scratch}/platform.json"))
        say("hello", {"wire": 1, "actions": ACTIONS})
        snapshot()
    elif kind == "snapshot":
        snapshot()
    elif kind == "execute":
        outcome = answer(data["command"], data["actor"], data["pinned"])
        if mood == "slow":
            time.sleep(4)
        if mood != "cut":
            say("reply", {"id": data["id"], "outcome": outcome})
        if platform and platform.get("doomed") and outcome["type"] == "accepted":
            change(phase="aborted", weight=0)  # what it brought fails by itself
    elif kind in ("read", "inspect"):
        away = {"type": "unreachable", "data": {"why": "the platform does not answer"}} if mood == "stale" else None
        known = platform and platform["uid"] == data["run"]["target"]["uid"]
        found = {"type": "rollout", "data": row()} if known and kind == "read" else None
        found = found or ({"type": "detail", "data": {"rollout": row(), "raw": platform}} if known else {"type": "not_found"})
        say("reply", {"id": data["id"], "outcome": away or found})
    elif kind == "contract":
        say("reply", {"id": data["id"], "outcome": situation(data["situation"])})
        if mood == "interrupted" and scratch:
            platform.update(revision=platform["revision"] + 1, generation=platform["generation"] + 1, new="1.2")
            json.dump(platform, open(f"{scratch}/platform.json", "w"))
            sys.exit("the connection to the platform was lost")
