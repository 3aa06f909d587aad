"""usage: metric_names.py METRICS_TEXT FILE...

Fails on a metric, or on a label of one, that an expression in a board or rule file names and the
text does not have. What a rule file records counts as there.
"""

import json
import re
import sys

import yaml


def expressions(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file) if path.endswith(".json") else yaml.safe_load(file)
    if path.endswith(".json"):
        yield from (target["expr"] for panel in data["panels"] for target in panel["targets"])
        yield from (variable["query"] for variable in data["templating"]["list"])
    else:
        yield from (rule["expr"] for group in data["groups"] for rule in group["rules"])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    labels = {}
    for name, inside in re.findall(r"^([a-z_]+)(?:\{([^}]*)\})? ", text, re.M):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', inside))
    # A family that has had no call yet is announced by nobody; so at least one must have been made.
    wrong, seen = [], 0
    for path in sys.argv[2:]:
        for expression in expressions(path):
            for name, inside in re.findall(r"\b((?:metamcp|process)_[a-z_]+)(?:\{([^}]*)\})?", expression):
                seen += 1
                if name not in labels:
                    wrong.append(f"{path}: no such metric: {name}")
                    continue
                for label in re.findall(r"(\w+)\s*[=!]", inside):
                    if label not in labels[name] | {"job", "instance"}:
                        wrong.append(f"{path}: {name} has no label {label}")
    print("\n".join(wrong) or f"{seen} uses of {len(labels)} metrics")
    sys.exit(1 if wrong or not seen else 0)


if __name__ == "__main__":
    main()
