#!/usr/bin/env python3
"""Checks the walls of the house: include edges, walled libraries, impure words, sizes.

Reads tools/layers.txt. Prints one line per finding as FILE:LINE: text, exits 1 if there is any.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
IMPURE = re.compile(
    r'\b(std::chrono::\w+_clock|std::this_thread|std::thread|std::mutex|std::random_device|getenv|'
    r'fsync|fdatasync|gettimeofday|clock_gettime|time\(nullptr\)|rand\(\)|std::cout|std::cerr|printf)\b')
# Functions that pure code may use although they look alike.
PURE_EXCEPTIONS = {'broker/base/check.cc', 'broker/base/text.cc'}
CAP_CODE, CAP_HEADER, CAP_TEST, COLUMNS = 600, 300, 1200, 110


def load_table():
    layers, walls, order = {}, [], []
    for number, raw in enumerate((ROOT / 'tools/layers.txt').read_text().splitlines(), 1):
        line = raw.split('#')[0].strip()
        if not line:
            continue
        head, _, tail = line.partition(':')
        words = head.split()
        if words[0] == 'wall':
            pattern, _, allowed = line[len('wall'):].strip().rpartition(':')
            walls.append((re.compile(pattern), allowed.split()))
            continue
        name, kind = words
        for dep in tail.split():
            if dep not in order:
                sys.exit(f'tools/layers.txt:{number}: {name} names {dep}, which is not above it')
        layers[name] = (kind, set(tail.split()))
        order.append(name)
    return layers, walls


def layer_of(path, layers):
    rel = path.relative_to(ROOT)
    if rel.parts[0] != 'broker':
        return None
    for depth in (2, 1):
        name = '/'.join(rel.parts[1:1 + depth])
        if len(rel.parts) > 1 + depth and name in layers:
            return name
    return None


def check_file(path, layers, walls, report):
    rel = str(path.relative_to(ROOT))
    test = (path.stem.endswith(('_test', '_world', '_rig', '_harness')) or
            rel.startswith('tests/') or '/testing/' in rel)
    lines = path.read_text().splitlines()
    cap = CAP_TEST if test else CAP_HEADER if path.suffix == '.h' else CAP_CODE
    if len(lines) > cap and not any('!allow-size' in l for l in lines[:3]):
        report(rel, len(lines), f'{len(lines)} lines, the cap is {cap}: split by what changes together')
    layer = layer_of(path, layers)
    kind, allowed = layers.get(layer, ('edge', set()))
    for n, line in enumerate(lines, 1):
        if len(line) > COLUMNS and 'http' not in line and 'R"' not in line and not test:
            report(rel, n, f'{len(line)} columns, the cap is {COLUMNS}')
        m = INCLUDE.match(line)
        if m:
            check_include(rel, n, m, layer, allowed, layers, walls, test, report)
        elif kind == 'pure' and not test and rel not in PURE_EXCEPTIONS:
            code = line.split('//')[0]
            if IMPURE.search(code):
                report(rel, n, f'impure in a pure folder: {IMPURE.search(code).group(0)}')


def check_include(rel, n, m, layer, allowed, layers, walls, test, report):
    target = m.group(2)
    if target.startswith('..') or target.startswith('./'):
        report(rel, n, 'relative include; write it from the repository root')
    for pattern, where in walls:
        if pattern.match(target) and not any(
                rel.startswith(f'broker/{w}') or rel.startswith(f'{w}/') for w in where) and not test:
            report(rel, n, f'{target} is behind a wall; only {", ".join(where)} may include it')
        if pattern.match(target) and target.startswith('nlohmann') and rel.endswith('.h'):
            report(rel, n, 'nlohmann/json never in a header (2.7 s per translation unit)')
    if target.startswith('tests/') and not rel.startswith('tests/') and not test:
        report(rel, n, 'production code includes tests/')
    if layer is None or not target.startswith('broker/'):
        return
    other = layer_of(ROOT / target, layers)
    if other and other != layer and other not in allowed and not (test and other == 'env/testing'):
        report(rel, n, f'{layer} may not include {other} (tools/layers.txt)')


def main():
    layers, walls = load_table()
    findings = []

    def report(rel, n, text):
        findings.append(f'{rel}:{n}: {text}')

    files = [p for top in ('broker', 'surveyor', 'tests') for p in sorted((ROOT / top).rglob('*'))
             if p.suffix in ('.h', '.cc') and 'node_modules' not in p.parts]
    for path in files:
        check_file(path, layers, walls, report)
    print('\n'.join(findings) if findings else f'layers: {len(files)} files, no findings')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
