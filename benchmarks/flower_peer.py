"""Loads and aggregates with Flower; a program that imports nothing of this project.

It answers one line of JSON with one line of JSON: first its version, then for each request ``{"rule": …,
"serialized": …, "updates": [{"path": …, "start": …, "num_examples": …}, …], "sizes": […]}`` the seconds that
loading and aggregating took.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedMedian, FedTrimmedAvg
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords
from flwr.supercore.task_identity import TaskIdentity


def main() -> None:
    """Answer requests until there are no more."""
    logging.disable(logging.CRITICAL)
    TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1  # messages ask for them
    print(json.dumps({"version": version("flwr")}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = serialize(request) if request["rule"] == "serialize" else timed(request)
        print(json.dumps(answer), flush=True)


def timed(request: dict[str, Any]) -> dict[str, float]:
    """Load and aggregate; return the seconds of both."""
    begun = time.perf_counter()
    records = [record(update, request) for update in request["updates"]]
    loaded = time.perf_counter()
    result = aggregate(records, request["rule"])
    done = time.perf_counter()
    assert len(result) == len(request["sizes"])
    del records, result
    gc.collect()
    return {"load": loaded - begun, "aggregate": done - loaded}


def record(update: dict[str, Any], request: dict[str, Any]) -> RecordDict:
    """Return what a client's reply holds."""
    read = stored_arrays if request["serialized"] else arrays
    tensors = ArrayRecord({f"layer.{i}": array for i, array in enumerate(read(update, request["sizes"]))})
    return RecordDict({"arrays": tensors, "metrics": MetricRecord({"num-examples": update["num_examples"]})})


def arrays(update: dict[str, Any], sizes: list[int]) -> list[Array]:
    """Read each tensor into an array and hand it to Flower."""
    found, offset = [], update["start"]
    for size in sizes:
        found.append(Array(np.fromfile(update["path"], "<f4", size, offset=offset)))
        offset += 4 * size
    return found


def stored_arrays(update: dict[str, Any], sizes: list[int]) -> list[Array]:
    """Read the bytes that Flower's arrays hold, as ``serialize`` wrote them."""
    found = []
    for i, size in enumerate(sizes):
        data = Path(f"{update['path']}.{i}.flower").read_bytes()
        found.append(Array("float32", (size,), "numpy.ndarray", data))
    return found


def serialize(request: dict[str, Any]) -> dict[str, float]:
    """Write the bytes that Flower's arrays hold, one file each."""
    for update in request["updates"]:
        for i, array in enumerate(arrays(update, request["sizes"])):
            Path(f"{update['path']}.{i}.flower").write_bytes(array.data)
    return {}


def aggregate(records: list[RecordDict], rule: str) -> ArrayRecord:
    """Aggregate by the functions that Flower's server calls."""
    if rule == "fedavg":
        return aggregate_arrayrecords(records, "num-examples")
    strategy = FedMedian() if rule == "median" else FedTrimmedAvg(beta=0.2)
    replies = [
        Message(content, reply_to=Message(RecordDict(), dst_node_id=i + 1, message_type="train"))
        for i, content in enumerate(records)
    ]
    result, _ = strategy.aggregate_train(1, replies)
    assert result is not None
    return result


if __name__ == "__main__":
    main()
