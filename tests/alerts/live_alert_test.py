#!/usr/bin/env python3
"""The lag alert in a real Prometheus: broker, surveyor and Prometheus run; a consumer falls behind, the
alert goes pending, fires, and clears once the consumer has caught up. `for` is shortened to seconds.

Usage: live_alert_test.py [DIRECTORY-OF-BINARIES]; exit 77 (skipped) without Prometheus.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / 'build/release/bin')
ALERT = 'JetStreamStreamLagging'
BEHIND = 12_000  # messages; the alert's threshold is 10,000
FOR = '4s'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Wire:
    """A NATS connection as far as this test needs one."""

    def __init__(self, port):
        self.sock = socket.create_connection(('127.0.0.1', port), 10)
        self.data = b''
        self.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'
                  b'SUB _INBOX.t.* 1\r\nPING\r\n')
        while b'PONG\r\n' not in self.data:
            self.fill()
        self.data = b''

    def send(self, data):
        self.sock.sendall(data)

    def fill(self):
        got = self.sock.recv(1 << 20)
        if not got:
            sys.exit('the broker closed the connection')
        self.data += got

    def message(self):
        """(reply subject, body) of the next message."""
        while True:
            m = re.match(rb'(H?)MSG \S+ \S+ (?:(\S+) )??(?:(\d+) )?(\d+)\r\n', self.data)
            if m and len(self.data) >= m.end() + int(m[4]) + 2:
                body = self.data[m.end():m.end() + int(m[4])]
                self.data = self.data[m.end() + int(m[4]) + 2:]
                return m[2], body
            if self.data.startswith((b'PING\r\n', b'+OK\r\n', b'PONG\r\n')):
                self.data = self.data.split(b'\r\n', 1)[1]
                continue
            self.fill()

    def request(self, subject, body):
        self.send(f'PUB {subject} _INBOX.t.r {len(body)}\r\n{body}\r\n'.encode())
        answer = json.loads(self.message()[1])
        if 'error' in answer:
            sys.exit(f'{subject}: {answer["error"]}')
        return answer


def start(name, folder, *command):
    log = open(folder / f'{name}.log', 'w')
    return subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, start_new_session=True)


def get(url):
    with urllib.request.urlopen(url, timeout=5) as r:
        return r.read().decode()


def wait(what, seconds, ready):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if ready():
                print(f'{time.strftime("%H:%M:%S")}  {what}', flush=True)
                return
        except OSError:
            pass
        time.sleep(0.3)
    raise SystemExit(f'FAILED: not within {seconds} s: {what}')


def states(prometheus):
    answer = json.loads(get(f'http://127.0.0.1:{prometheus}/api/v1/alerts'))
    return {a['state'] for a in answer['data']['alerts'] if a['labels']['alertname'] == ALERT}


def publish(port):
    w = Wire(port)
    w.request('$JS.API.STREAM.CREATE.LAG', '{"name":"LAG","subjects":["lag"],"storage":"file","num_replicas":1}')
    w.request('$JS.API.CONSUMER.DURABLE.CREATE.LAG.slow',
              '{"stream_name":"LAG","config":{"durable_name":"slow","ack_policy":"explicit","max_ack_pending":-1}}')
    w.send(b'PUB lag 1\r\nx\r\n' * (BEHIND - 1))
    w.request('lag', 'x')


def drain(port):
    w = Wire(port)
    body = json.dumps({'batch': BEHIND, 'expires': 20_000_000_000})
    w.send(f'PUB $JS.API.CONSUMER.MSG.NEXT.LAG.slow _INBOX.t.f {len(body)}\r\n{body}\r\n'.encode())
    for _ in range(BEHIND):
        reply, _ = w.message()
        w.send(b'PUB ' + reply + b' 4\r\n+ACK\r\n')
    w.send(b'PING\r\n')
    while b'PONG\r\n' not in w.data:
        w.fill()


def run(folder, processes):
    nats, surveyor, prometheus = free_port(), free_port(), free_port()
    (folder / 'broker.conf').write_text(
        f'listen: "127.0.0.1:{nats}"\njetstream {{ store_dir: "{folder}/store" }}\n'
        'accounts {\n  $SYS { users: [{user: sys, password: sys}] }\n'
        '  APP { users: [{user: app, password: app}], jetstream: enabled }\n}\nno_auth_user: app\n')
    rules = (ROOT / 'alerts/weir.rules.yml').read_text()
    (folder / 'rules.yml').write_text(re.sub(r'for: \d+m', f'for: {FOR}', rules))
    (folder / 'prometheus.yml').write_text(
        'global: {scrape_interval: 1s, evaluation_interval: 1s}\n'
        f'rule_files: ["{folder}/rules.yml"]\n'
        f'scrape_configs: [{{job_name: weir, static_configs: [{{targets: ["127.0.0.1:{surveyor}"]}}]}}]\n')
    processes.append(start('broker', folder, BIN / 'weir-broker', '-c', folder / 'broker.conf'))
    processes.append(start('surveyor', folder, BIN / 'weir-surveyor', '-s', f'nats://127.0.0.1:{nats}', '--user', 'sys',
                           '--password', 'sys', '-a', '127.0.0.1', '-p', surveyor, '--poll-interval', '1s'))
    processes.append(start('prometheus', folder, 'prometheus', f'--config.file={folder}/prometheus.yml',
                           f'--storage.tsdb.path={folder}/data', f'--web.listen-address=127.0.0.1:{prometheus}'))
    wait('Prometheus is ready', 60, lambda: 'Ready' in get(f'http://127.0.0.1:{prometheus}/-/ready'))
    wait('the surveyor sees the broker', 60, lambda: 'nats_up 1' in get(f'http://127.0.0.1:{surveyor}/metrics'))
    publish(nats)
    print(f'{time.strftime("%H:%M:%S")}  {BEHIND} messages published, nobody reads')
    wait('the alert is pending or firing', 60, lambda: states(prometheus))
    wait('the alert fires', 60, lambda: 'firing' in states(prometheus))
    drain(nats)
    print(f'{time.strftime("%H:%M:%S")}  consumer drained')
    wait('the alert is cleared', 60, lambda: not states(prometheus))
    print('1 passed, 0 failed')


def main():
    if not shutil.which('prometheus'):
        print('SKIPPED: no prometheus')
        return 77
    folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-alert-'))
    processes = []
    failed = True
    try:
        run(folder, processes)
        failed = False
        return 0
    finally:
        for p in reversed(processes):
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        if failed:
            for log in sorted(folder.glob('*.log')):
                print(f'--- {log.name}\n' + ''.join(log.read_text().splitlines(keepends=True)[-8:]))
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
