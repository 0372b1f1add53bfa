"""What schemathesis is given beside the document: names of what is there, and a record of what was answered."""

import json
import os
import random

import schemathesis
from schemathesis.core.parameters import ParameterLocation

with open(os.environ["KEROS_KNOWN"], encoding="utf-8") as file:
    KNOWN = json.load(file)
# A line for each answer: method, route, status.
RECORD = open(os.environ["KEROS_ANSWERS"], "a", encoding="utf-8", buffering=1)
# The same choices in each run of the same document.
CHOICE = random.Random(7)


def is_good(case, location):
    return case.meta is None or not case.meta.is_negative_at(location)


def spare(kind):
    """Something that may be used up; None when there is no more."""
    things = KNOWN["spare"].get(kind, [])
    return things.pop() if things else None


@schemathesis.hook
def before_call(context, case, kwargs):
    """Most requests are about something that is there: else nearly all would end with 404, before anything is tried."""
    if CHOICE.random() > 0.8:
        return
    route = f"{case.method.upper()} {case.operation.path}"
    if case.path_parameters and is_good(case, ParameterLocation.PATH):
        known = {**KNOWN["path"], **KNOWN["routes"].get(case.operation.path, {})}
        for name, kind in KNOWN["used_up"].get(route, {}).items():
            known[name] = spare(kind)
        for name in case.path_parameters:
            case.path_parameters[name] = known.get(name) or case.path_parameters[name]
    if route in KNOWN["bodies"] and is_good(case, ParameterLocation.BODY):
        text = json.dumps(KNOWN["bodies"][route])
        for kind in KNOWN["spare"]:
            if f"<{kind}>" in text:
                thing = spare(kind)
                if thing is None:
                    return
                text = text.replace(f"<{kind}>", thing)
        case.body = json.loads(text)


@schemathesis.hook
def after_call(context, case, response):
    RECORD.write(f"{case.method.upper()} {case.operation.path} {response.status_code}\n")
