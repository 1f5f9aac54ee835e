import json

import numpy as np
import pytest

from backend.protocol import jsonrpc, messages, wire
from backend.protocol.errors import Code, MotionGPTError

POSE = messages.Pose(0, np.tile([1.0, 0.0, 0.0, 0.0], (22, 1)), np.array([0.0, 0.9, 0.0]))


def test_every_request_comes_out_as_it_went_in():
    sent = messages.Generate((messages.Segment("a person waves: ⟨äöü⟩ \u2028 \n", 80),), 20.0, seed=7, poses=(POSE,), lock_feet=False)
    line = jsonrpc.request(3, sent)
    assert line.count(b"\n") == 1 and line.isascii()
    id, method, params = jsonrpc.decode_request(line)
    received = wire.unpack(messages.REQUESTS[method][0], params)
    assert (id, method, received.segments, received.seed, received.lock_feet) == (3, "generate", sent.segments, 7, False)
    np.testing.assert_array_equal(received.poses[0].rotations, POSE.rotations)


def test_an_error_keeps_its_code_and_remedy():
    line = jsonrpc.failure(5, MotionGPTError(Code.BUNDLE_ALTERED, "The file is not what it was.", "Install it again."))
    error = jsonrpc.to_error(jsonrpc.decode(line)["error"])
    assert (error.code, error.message, error.remedy) == (Code.BUNDLE_ALTERED, "The file is not what it was.", "Install it again.")


def test_an_unknown_code_is_still_an_error():
    assert jsonrpc.to_error({"code": -32099, "message": "New."}).code is Code.INTERNAL_ERROR


def test_numbers_that_are_not_finite_are_not_sent():
    with pytest.raises(ValueError, match="Out of range float"):
        jsonrpc.notification(messages.Progress(1, "Generating", 1, 2, per_second=float("inf")))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello", Code.PARSE_ERROR),
        (b"\xff\xfe", Code.PARSE_ERROR),
        (b"[" * 100_000, Code.PARSE_ERROR),
        (b"[]", Code.INVALID_REQUEST),
        (b'{"id":1,"method":"hello"}', Code.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":"1","method":"hello"}', Code.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"hello"}', Code.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","method":"hello"}', Code.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":4}', Code.INVALID_REQUEST),
    ],
)
def test_what_is_no_request_is_refused(line: bytes, code: Code):
    with pytest.raises(MotionGPTError) as caught:
        jsonrpc.decode_request(line)
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"segments": [{"prompt": "walk", "frames": "80"}]}, "frames"),
        ({"segments": [{"prompt": "walk", "frames": True}]}, "frames"),
        ({"segments": [{"prompt": "walk", "frames": 80.5}]}, "frames"),
        ({"colour": "red"}, "colour"),
        ({"poses": {}}, "poses"),
        ({"poses": [{"frame": 0}]}, "rotations"),
        ({"fps": 10**400}, "fps"),
    ],
)
def test_a_wrong_field_is_named(change: dict, names: str):
    packed = json.loads(json.dumps(wire.pack(messages.Generate((messages.Segment("walk", 80),), 20.0)))) | change
    with pytest.raises(MotionGPTError, match=names) as caught:
        wire.unpack(messages.Generate, packed)
    assert caught.value.code is Code.INVALID_PARAMS


@pytest.mark.parametrize(
    "change",
    [{"dtype": "|O"}, {"shape": [21, 4]}, {"shape": [-1, -1]}, {"shape": "x"}, {"shape": [2**80]}, {"data": "%%%"}, {"data": 3}],
)
def test_a_wrong_array_is_refused(change: dict):
    packed = wire.pack(POSE)
    packed["rotations"] |= change
    with pytest.raises(MotionGPTError, match="rotations"):
        wire.unpack(messages.Pose, packed)
