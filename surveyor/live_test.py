#!/usr/bin/env python3
"""Runs weir-surveyor against a real server and reads /metrics: live_test.py SURVEYOR SERVER

SERVER is a weir-broker or nats-server executable. Exit code 77 if it does not exist (skipped). Checks: starts
before the server (nats_up 0), finds it, shows stream and consumer, survives its kill -9 and restart, gzip,
SIGTERM with exit code 0. Everything listens on 127.0.0.1 on free ports and lives in a temporary folder.
"""
import gzip
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

CONFIG = '''
server_name: n1
listen: "127.0.0.1:%d"
jetstream { store_dir: "%s", max_mem: 16M, max_file: 64M }
accounts {
  $SYS { users: [{user: sys, password: pw}] }
  APP { jetstream: enabled, users: [{user: app, password: pw}] }
}
'''
DEADLINE_S = 30


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Client:
    """As much of a NATS client as the test needs."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=10)
        self.file = self.socket.makefile('rb')
        self.file.readline()
        self.send('CONNECT {"verbose":false,"user":"app","pass":"pw","headers":true}\r\nSUB _R.> 1\r\nPING\r\n')
        while self.file.readline() != b'PONG\r\n':
            pass

    def send(self, text):
        self.socket.sendall(text.encode())

    def request(self, subject, body=''):
        self.send(f'PUB {subject} _R.x {len(body)}\r\n{body}\r\n')
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError('the server closed the connection')
            if line.startswith(b'MSG'):
                data = self.file.read(int(line.split()[-1]) + 2)
                return data[:-2].decode()
            if line == b'PING\r\n':
                self.send('PONG\r\n')


class World:
    def __init__(self, surveyor, server):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-live-'))
        self.server_path, self.port, self.http = server, free_port(), free_port()
        (self.folder / 'n.conf').write_text(CONFIG % (self.port, self.folder / 'js'))
        self.log = open(self.folder / 'log', 'wb')
        self.server = None
        self.surveyor = subprocess.Popen(
            [surveyor, '-s', f'nats://127.0.0.1:{self.port}', '-user', 'sys', '-password', 'pw', '-a', '127.0.0.1',
             '-p', str(self.http), '--poll-interval', '300ms'], stderr=self.log)

    def start_server(self):
        self.server = subprocess.Popen([self.server_path, '-c', str(self.folder / 'n.conf')],
                                       stdout=self.log, stderr=self.log)

    def get(self, path='/metrics', packed=False):
        headers = {'Accept-Encoding': 'gzip'} if packed else {}
        request = urllib.request.Request(f'http://127.0.0.1:{self.http}{path}', headers=headers)
        with urllib.request.urlopen(request, timeout=5) as reply:
            body = reply.read()
            return (gzip.decompress(body) if reply.headers['Content-Encoding'] == 'gzip' else body).decode()

    def wait(self, what, *lines):
        end, missing = time.monotonic() + DEADLINE_S, list(lines)
        while time.monotonic() < end:
            try:
                text = self.get()
                missing = [m for m in lines if not any(x.startswith(m) for x in text.splitlines())]
                if not missing:
                    print('ok:', what)
                    return text
            except OSError as e:
                missing = [str(e)]
            time.sleep(0.1)
        raise AssertionError(f'{what}: not seen: {missing}')

    def close(self):
        for process in (self.surveyor, self.server):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        self.log.close()


def api(client, subject, body):
    reply = client.request('$JS.API.' + subject, json.dumps(body))
    assert 'error' not in json.loads(reply), reply


def run(w):
    w.wait('starts without a server', 'nats_up 0', 'nats_survey_surveyed_count 0')
    w.start_server()
    w.wait('finds it', 'nats_up 1', 'nats_survey_surveyed_count 1', 'nats_survey_expected_count 1')
    client = Client(w.port)
    api(client, 'STREAM.CREATE.ORDERS', {'name': 'ORDERS', 'subjects': ['orders.*'], 'storage': 'file', 'max_msgs': 100})
    for i in range(20):
        client.request(f'orders.{i}', 'x')
    api(client, 'CONSUMER.DURABLE.CREATE.ORDERS.worker',
        {'stream_name': 'ORDERS', 'config': {'durable_name': 'worker', 'ack_policy': 'explicit', 'max_ack_pending': 7}})
    asset = 'account="APP",account_name="APP",stream="ORDERS"'
    text = w.wait('stream and consumer', 'nats_jetstream_streams')
    cluster = ''
    for line in text.splitlines():
        if line.startswith('nats_jetstream_streams{'):
            cluster = line[line.index('{') + 1:line.index(',')] + ','
    e = '{' + cluster + asset
    k = e + ',consumer="worker"'
    w.wait('numbers', f'nats_jetstream_stream_messages{e}}} 20', f'nats_jetstream_stream_has_leader{e}}} 1',
           f'nats_jetstream_stream_limit_used_ratio{e},limit="messages",discard="old"}} 0.2',
           f'nats_jetstream_stream_lag{e},kind="consumer"}} 20', f'nats_jetstream_stream_quorum_margin{e}}} 0',
           f'nats_jetstream_consumer_pending{k}}} 20', f'nats_jetstream_consumer_ack_pending{k}}} 0',
           f'nats_jetstream_consumer_max_ack_pending{k}}} 7', f'nats_jetstream_consumer_status{k},status="stopped"}} 1')
    assert w.get('/healthz').strip() == 'ok'
    assert 'ORDERS' in w.get('/')
    assert 'nats_up 1' in w.get(packed=True)
    w.server.kill()
    w.server.wait()
    text = w.wait('sees the end', 'nats_up 0', 'nats_survey_poll_error_count')
    assert 'nats_jetstream_stream_has_leader{' not in text or '} 0' not in ''.join(
        x for x in text.splitlines() if x.startswith('nats_jetstream_stream_has_leader')), 'blindness accuses nobody'
    w.start_server()
    w.wait('reconnects', 'nats_up 1', f'nats_jetstream_stream_messages{e}}} 20',
           'nats_survey_nats_reconnects{name="weir-surveyor"} 1')
    w.surveyor.send_signal(signal.SIGTERM)
    assert w.surveyor.wait(timeout=10) == 0, 'exit code after SIGTERM'
    print('ok: SIGTERM')


def main():
    surveyor, server = sys.argv[1:3]
    if not shutil.which(server):
        print(f'skipped: {server} is not there')
        return 77
    w = World(surveyor, shutil.which(server))
    try:
        run(w)
    except BaseException:
        w.close()
        print((w.folder / 'log').read_text(errors='replace')[-4000:])
        raise
    w.close()
    shutil.rmtree(w.folder)
    return 0


if __name__ == '__main__':
    sys.exit(main())
