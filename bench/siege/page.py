"""What the siege's figures say, as a page."""

import collections
import re


def requests(log, said):
    """h2load's file: when, which status, and how many microseconds."""
    rows = [line.split("\t") for line in log.splitlines()]
    times = sorted(int(row[2]) / 1000 for row in rows if row[1] == "200")
    failed = sum(row[1] != "200" for row in rows)
    unanswered = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", said)
    failed += max(int(number) for number in unanswered.groups()) if unanswered else 1
    at = lambda share: times[min(len(times) - 1, int(len(times) * share))] if times else 0
    return {"sent": len(rows), "failed": failed, "p50": at(0.5), "p99": at(0.99), "worst": at(1)}


def slow(said):
    """slowhttptest's last words on its connections."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    last = lambda name: int((re.findall(rf"{name}:\s+(\d+)", plain) or [0])[-1])
    return {"sent": sum(map(last, ("connected", "closed", "error"))), "closed": last("closed"), "open at the end": last("connected")}


def faults(told):
    return []


def text(told):
    import json
    return json.dumps({key: value for key, value in told.items() if key not in ("samples", "log", "access")}, indent=1) + "\n" + told["log"][-3000:]
