#!/usr/bin/env python3
"""Writes alerts/weir.rules.yml and alerts/prometheusrule.yaml from alerts/rules.yaml.

Without arguments writes both; --check compares and exits 1 if one is not current, or if an alert has no
section in docs/operations/alerts.md. --runbook-base URL replaces the start of every runbook_url, for those
who publish the runbook under an address of their own.
"""
import argparse
import json
import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / 'alerts/rules.yaml'
RUNBOOK = ROOT / 'docs/operations/alerts.md'
HEAD = '# Written by tools/gen_alerts.py from alerts/rules.yaml; edit that.\n'
NEEDED = ('alert', 'expr', 'severity', 'summary', 'description')
ALLOWED = set(NEEDED) | {'for', 'keep_firing_for'}
SEVERITIES = ('critical', 'warning', 'info')


def load():
    groups = yaml.safe_load(SOURCE.read_text())['groups']
    for group in groups:
        for rule in group['rules']:
            name = rule.get('alert', '?')
            missing = [k for k in NEEDED if not rule.get(k)]
            unknown = sorted(set(rule) - ALLOWED)
            if missing or unknown:
                sys.exit(f'{SOURCE}: {name}: missing {missing}, unknown {unknown}')
            if rule['severity'] not in SEVERITIES:
                sys.exit(f'{SOURCE}: {name}: severity must be one of {SEVERITIES}')
    return groups


def full_rule(rule, runbook_base):
    out = {'alert': rule['alert'], 'expr': ' '.join(rule['expr'].split())}
    for key in ('for', 'keep_firing_for'):
        if key in rule:
            out[key] = rule[key]
    out['labels'] = {'severity': rule['severity']}
    out['annotations'] = {
        'summary': rule['summary'],
        'description': rule['description'],
        'runbook_url': runbook_base + rule['alert'].lower(),
    }
    return out


def scalar(text):
    # A JSON string is a YAML string; so nothing depends on the version of a dumper.
    return json.dumps(text, ensure_ascii=False)


def block(groups, runbook_base, indent):
    pad = ' ' * indent
    lines = [f'{pad}groups:']
    for group in groups:
        lines += [f'{pad}- name: {group["name"]}', f'{pad}  rules:']
        for rule in group['rules']:
            full = full_rule(rule, runbook_base)
            lines.append(f'{pad}  - alert: {full.pop("alert")}')
            for key, value in full.items():
                if isinstance(value, dict):
                    lines.append(f'{pad}    {key}:')
                    lines += [f'{pad}      {k}: {scalar(v)}' for k, v in value.items()]
                elif key == 'expr':
                    lines.append(f'{pad}    {key}: {scalar(value)}')
                else:
                    lines.append(f'{pad}    {key}: {value}')
    return '\n'.join(lines) + '\n'


def outputs(groups, runbook_base):
    manifest = ('apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: weir-alerts\n'
                '  labels:\n    app.kubernetes.io/name: weir-surveyor\n    app.kubernetes.io/part-of: weir\nspec:\n')
    return {
        ROOT / 'alerts/weir.rules.yml': HEAD + block(groups, runbook_base, 0),
        ROOT / 'alerts/prometheusrule.yaml': HEAD + manifest + block(groups, runbook_base, 2),
    }


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument('--check', action='store_true')
    args.add_argument('--runbook-base', default='docs/operations/alerts.md#')
    args = args.parse_args()
    groups = load()
    problems = []
    for path, text in outputs(groups, args.runbook_base).items():
        if not args.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            problems.append(f'{path.relative_to(ROOT)} is not current: run tools/gen_alerts.py')
    if args.check:
        text = RUNBOOK.read_text() if RUNBOOK.exists() else ''
        sections = {line[3:].strip() for line in text.splitlines() if line.startswith('## ')}
        names = {rule['alert'] for group in groups for rule in group['rules']}
        problems += [f'{RUNBOOK.relative_to(ROOT)}: no section "## {n}"' for n in sorted(names - sections)]
        problems += [f'{RUNBOOK.relative_to(ROOT)}: "{n}" is no alert' for n in sorted(sections - names)]
    print('\n'.join(problems) if problems else f'alerts: {sum(len(g["rules"]) for g in groups)} rules')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
