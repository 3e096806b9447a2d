#!/usr/bin/env python3
"""Verifies what `verdict log export --proof` wrote, without any code of Verdict: the format is that of
docs/decision-log-proof.md, and this is it in another language. It needs Python 3.8 and the package `cryptography`.

    python3 verify_export.py export.ndjson keys.json

Exit code 0: every record is what was recorded, and none is missing up to the newest checkpoint; 1: the first fault.
"""
import base64, collections, hashlib, json, re, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Fault(Exception): pass


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# RFC 8785: members in the order of their UTF-16 code units, texts and numbers as ECMAScript writes them.
def number_text(value):
    if isinstance(value, int) or value == int(value) and abs(value) < 1e21:
        return str(int(value))
    sign, value = ("-", -value) if value < 0 else ("", value)
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" and exponent else fraction
    digits = (whole + fraction).lstrip("0")
    # The number is 0.digits times ten to the power of n.
    n = len(whole + fraction) - len(fraction) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    k = len(digits)
    if k <= n <= 21:
        return sign + digits + "0" * (n - k)
    if 0 < n <= 21:
        return sign + digits[:n] + "." + digits[n:]
    if -6 < n <= 0:
        return sign + "0." + "0" * -n + digits
    e = n - 1
    return sign + digits[0] + ("." + digits[1:] if k > 1 else "") + "e" + ("+" if e > 0 else "-") + str(abs(e))


SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(text):
    escaped = lambda match: SHORT.get(match[0]) or "\\u%04x" % ord(match[0])
    return '"' + re.sub(r'["\\\x00-\x1f]', escaped, text) + '"'


def canonical(value):
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (str, int, float)):
        return quoted(value) if isinstance(value, str) else number_text(value)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(quoted(name) + ":" + canonical(value[name]) for name in names) + "}"


def leaf_of(sequence, each, tree, keys, erased):
    if isinstance(each, str):
        return base64.b64decode(each)
    if each["record"]["sequence"] != sequence:
        raise Fault(f"sequence {sequence}: the record names another one")
    own = {name: value for name, value in each["record"].items() if name not in ("writer", "sequence")}
    if "salt" in each:
        return sha256(b"\0", base64.b64decode(each["salt"]), sequence.to_bytes(8, "big"), canonical(own).encode())
    # What the leaf was of is gone; a signature stands in for it.
    marks = own["erased"]["erasures"]
    digest = base64.b64encode(sha256(canonical({**own, "erased": {"erasures": marks}}).encode())).decode()
    if open_note(f"verdict erased\n{tree}\n{sequence}\n{digest}\n\n{own['erased']['signature']}\n", keys) is None:
        raise Fault(f"sequence {sequence}: the record was erased, and no signature of the log says so")
    erased.update(f"erased by {mark['id']} on {mark['time'][:10]}" for mark in marks)
    return base64.b64decode(each["leaf"])


def group_root(level):
    while len(level) > 1:
        level = [sha256(b"\2", *level[at : at + 4]) for at in range(0, len(level), 4)]
    return level[0]


# The tree of RFC 9162, as its largest perfect subtrees from left to right.
def append(nodes, size, leaf):
    while size % 2 == 1:
        leaf, size = sha256(b"\1", nodes.pop(), leaf), size // 2
    nodes.append(leaf)


def root_of(nodes):
    root = nodes[-1] if nodes else sha256()
    for node in reversed(nodes[:-1]):
        root = sha256(b"\1", node, root)
    return root


# Signed notes.
def read_key(text):
    name, key_id, body = text.split("+", 2)
    raw = base64.b64decode(body)
    if raw[0] != 1 or sha256(name.encode(), b"\n", raw)[:4].hex() != key_id:
        raise Fault("a key is not an Ed25519 key, or has not its own id")
    return (name, bytes.fromhex(key_id)), Ed25519PublicKey.from_public_bytes(raw[1:])


def open_note(note, keys):
    """The text of a note that one of the keys signed; None where none of them did."""
    text, _, signatures = note.rpartition("\n\n")
    text, is_signed = text + "\n", False
    for line in signatures.strip("\n").split("\n"):
        _, name, body = line.split(" ")
        signature = base64.b64decode(body)
        key = keys.get((name, signature[:4]))
        if key is None:
            continue
        try:
            key.verify(signature[4:], text.encode())
        except InvalidSignature:
            raise Fault("a note was changed: its signature is wrong")
        is_signed = True
    return text if is_signed else None


def verify(lines, trusted):
    keys = dict(read_key(each["key"]) for each in trusted)
    checkpoints, anchors, trees, last_of = {}, {}, {}, {}
    tree, is_whole, records, proved, erased = None, False, 0, 0, collections.Counter()
    for line in lines:
        value = json.loads(line)
        if is_whole:
            raise Fault("something is behind the end")
        if "key" in value:
            if any(open_note(note, keys) == f"verdict key\n{value['key']}\n" for note in value["certificates"]):
                keys.update([read_key(value["key"])])
        elif "checkpoint" in value:
            text = open_note(value["checkpoint"], keys)
            if text is None:
                raise Fault("a checkpoint is signed by none of the keys")
            origin, size, root, sequence = text.split("\n")[:4]
            signed = (int(size), base64.b64decode(root), int(sequence.split(" ")[1]))
            if text.endswith("\nanchor\n"):
                anchors[origin[8:]] = max(anchors.get(origin[8:], signed), signed)
            else:
                checkpoints.setdefault(origin[8:], []).append(signed)
        elif "tree" in value:
            frontier, tree = base64.b64decode(value["frontier"]), value["tree"]
            nodes = [frontier[at : at + 32] for at in range(0, len(frontier), 32)]
            size, (known_size, known_nodes) = value["entries"], trees.get(tree, (0, []))
            if size > known_size and anchors.get(tree, (0,))[0] < size:
                gone = f"{size - known_size} entries are missing, and no signed note says why"
                raise Fault(f"sequence {last_of.get(tree, 0) + 1}: {gone}")
            if size < known_size or size == known_size and root_of(known_nodes) != root_of(nodes):
                raise Fault(f"sequence {value['start']}: the tree does not go on where it ended")
            last = value["start"] - 1
        elif "unproved" not in value and "end" not in value:
            if value["entry"] != size:
                raise Fault(f"sequence {last + 1}: entry {size} of the tree is missing or in another place")
            if "records" in value:
                first, group = value["first"], value["records"]
                leaves = [leaf_of(first + at, each, tree, keys, erased) for at, each in enumerate(group)]
                place = first.to_bytes(8, "big") + len(group).to_bytes(4, "big")
                entry = sha256(b"\0\1", place, group_root(leaves))
                last, records = first + len(group) - 1, records + len(group)
            elif "gap" in value:
                entry = sha256(b"\0\2", canonical(value["gap"]).encode())
                if value["gap"]["cause"] in ("file_damaged", "file_missing"):
                    last = max(last, value["gap"]["after"] + (value["gap"]["lost"] or 0))
            else:
                entry = base64.b64decode(value["leaf"])
            append(nodes, size, entry)
            size += 1
        is_whole = "end" in value
        if tree is not None:
            trees[tree], last_of[tree] = (size, nodes), last
            for signed_size, root, _ in checkpoints.get(tree, []):
                if signed_size == size:
                    if root != root_of(nodes):
                        raise Fault(f"the records up to sequence {last} are not those that a checkpoint signs")
                    proved += 1
    if not is_whole:
        raise Fault("the export was cut off")
    for name, signed in checkpoints.items():
        if max(signed)[0] > trees.get(name, (0,))[0]:
            raise Fault(f"sequence {last_of.get(name, 0) + 1}: the newest records are missing")
    if proved == 0 and records > 0:
        raise Fault("no checkpoint proves the records")
    notes = "".join(f"; {count} {by}" for by, count in erased.items())
    return f"{records} records, {proved} checkpoints: nothing is wrong or missing{notes}"


if __name__ == "__main__":
    try:
        with open(sys.argv[1], encoding="utf-8", newline="\n") as export, open(sys.argv[2], encoding="utf-8") as given:
            print(verify(export, json.load(given)["keys"]))
    except (Fault, ValueError, KeyError, TypeError) as fault:
        sys.exit(f"wrong: {fault}")
