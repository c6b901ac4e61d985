#!/usr/bin/env python3
"""Replaces a running server and its proxy by those of another program, under load, and says what was lost.

usage: upgrade.py OLD NEW

The old server, with two instances behind its proxy, gets the load of flight.py (200 requests/s on 50
kept-alive connections, a tenth on fresh ones, five streams of 10 s). Then, twice: the server is killed,
the new one starts on the same data and replaces the proxy. Once from OLD to NEW, and once from NEW to a
copy of NEW. At last the proxy is killed with SIGKILL. Everything lives in a scratch directory.
"""
import json, os, shutil, subprocess, sys, time

OLD, NEW = map(os.path.abspath, sys.argv[1:3])
sys.argv[1:] = [OLD]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flight


def proxy(rig):
    return json.load(open(f"{rig.dir}/data/proxy/state.json"))["process"]["pid"]


def failed(rig):
    rig.until("a report", lambda: os.path.exists(rig.report))
    report = json.load(open(rig.report))
    return report["sent"], sum(report["failed"].values()), report["failed"], report["examples"]


def upgrade(rig, program):
    before, (sent, lost, _, _) = proxy(rig), failed(rig)
    rig.server.kill()
    rig.server.wait()
    flight.BIN = program
    rig.serve()
    rig.until("another proxy", lambda: proxy(rig) != before)
    rig.until("the end of the old one", lambda: not os.path.exists(f"/proc/{before}"), 120)
    time.sleep(3)
    now, lost_now, kinds, examples = failed(rig)
    print(f"{now - sent} requests over the change, {lost_now - lost} failed {kinds if lost_now > lost else ''} {examples if lost_now > lost else ''}")
    return lost_now - lost


rig = flight.Rig()
try:
    flight.first(rig, "1.0.0")
    time.sleep(5)
    copy = f"{rig.dir}/flightdeck-copy"
    shutil.copy(NEW, copy)
    lost = upgrade(rig, NEW) + upgrade(rig, copy)
    before, (sent, failures, _, _) = proxy(rig), failed(rig)
    os.kill(before, 9)
    rig.until("another proxy", lambda: proxy(rig) != before)
    time.sleep(3)
    now, failures_now, kinds, _ = failed(rig)
    print(f"proxy killed: {now - sent} requests, {failures_now - failures} failed, all kinds since the start: {kinds}")
    print(subprocess.run(["grep", "-rhiE", "replac|refused|taken over|could not", rig.dir + "/serve.log", rig.dir + "/state"], capture_output=True, text=True).stdout)
finally:
    rig.end()
sys.exit(1 if lost else 0)
