#!/usr/bin/env python3
"""Every metric that alerts or dashboards use must be one that weir-surveyor emits, with the labels it has.

Reads surveyor/metric_table.inc and the files named (default alerts/rules.yaml): a YAML rule source, or
Grafana JSON. Checks metric names everywhere and, for matchers directly behind a metric, label names. Prints
one line per finding and exits 1 if there is any.
"""
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / 'surveyor/metric_table.inc'
ROW = re.compile(r'^METRIC\((\w+), "([a-z0-9_]+)", (\w+), "([^"]*)", "([^"]+)"\)$')
SETS = {
    'E': ['cluster_name', 'account', 'account_name', 'stream'],
    'S': ['server_cluster', 'server_name', 'server_id'],
    'J': ['server_id', 'server_name', 'cluster_name'],
}
SETS['K'] = SETS['E'] + ['consumer']
# Added by Prometheus itself when it scrapes.
SCRAPE_LABELS = {'job', 'instance', '__name__'}
USE = re.compile(r'\b(nats_[a-z0-9_]+)\b(?:\s*\{([^}]*)\})?')
MATCHER = re.compile(r'([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)')


def load_table():
    metrics, findings = {}, []
    for number, line in enumerate(TABLE.read_text().splitlines(), 1):
        if not line.startswith('METRIC('):
            continue
        row = ROW.match(line)
        if not row:
            findings.append(f'{TABLE.name}:{number}: not METRIC(id, "name", type, "labels", "help")')
            continue
        _, name, kind, labels, _ = row.groups()
        if name in metrics:
            findings.append(f'{TABLE.name}:{number}: {name} twice')
        names = [n for word in labels.split() for n in SETS.get(word, [word])]
        metrics[name] = set(names)
        if kind in ('Histogram', 'Summary'):
            for suffix in ('_bucket', '_sum', '_count'):
                metrics[name + suffix] = set(names) | {'le'}
    return metrics, findings


def expressions(path):
    """(where, expression) pairs of one file."""
    if path.suffix == '.json':
        found = []

        def walk(node):
            if isinstance(node, dict):
                for key, value in node.items():
                    if key in ('expr', 'query', 'definition') and isinstance(value, str):
                        found.append((path.name, value))
                    walk(value)
            elif isinstance(node, list):
                for item in node:
                    walk(item)

        walk(json.loads(path.read_text()))
        return found
    groups = yaml.safe_load(path.read_text())['groups']
    return [(f'{path.name}: {rule.get("alert") or rule.get("record")}', rule['expr'])
            for group in groups for rule in group['rules']]


def main():
    metrics, findings = load_table()
    paths = [pathlib.Path(p) for p in sys.argv[1:]] or [ROOT / 'alerts/rules.yaml']
    used = set()
    for path in paths:
        for where, expr in expressions(path):
            for name, matchers in USE.findall(expr):
                used.add(name)
                if name not in metrics:
                    findings.append(f'{where}: {name} is not in surveyor/metric_table.inc')
                    continue
                for label in MATCHER.findall(re.sub(r'"[^"]*"', '""', matchers)):
                    if label not in metrics[name] | SCRAPE_LABELS:
                        findings.append(f'{where}: {name} has no label {label}')
    if not used:
        findings.append('no metric found in ' + ', '.join(map(str, paths)))
    print('\n'.join(findings) if findings else f'metrics: {len(used)} in use, all emitted')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
