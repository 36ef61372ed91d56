"""The real programs with rendered manifests: one pod is one process on 127.0.0.1 with ports of its own.

Each broker runs as process 1 of its own PID namespace, as in a container, when the machine allows it; the
preStop hook is then run as the kubelet would. Everything is stopped by its process id.
"""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from k8s.checks.manifests import Manifests, container_of, replicas, setting

WAIT_S = 20
SURVEYED = ('nats_up 1', 'stream="K8S"')  # in the metrics, whatever the number of nodes
NOT_BUILT = '"cluster" is not supported'


def free_ports(n):
    holders = [socket.socket() for _ in range(n)]
    for s in holders:
        s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in holders]
    for s in holders:
        s.close()
    return ports


def namespace_command():
    """How to start a process as number 1 of a PID namespace here; [] when that is not allowed."""
    for extra in ([], ['--user', '--map-root-user']):
        command = ['unshare', *extra, '--pid', '--fork', '--kill-child', '--mount-proc']
        try:
            if subprocess.run([*command, 'true'], capture_output=True, check=False).returncode == 0:
                return command
        except OSError:
            return []
    return []


def get(port, path):
    """Status and text of a page; status 0 when nobody answers."""
    try:
        with urllib.request.urlopen(f'http://127.0.0.1:{port}{path}', timeout=11) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except OSError:
        return 0, ''


def until(ask, seconds=WAIT_S):
    """Asks until the answer is true; returns the last answer."""
    end = time.monotonic() + seconds
    answer = ask()
    while not answer and time.monotonic() < end:
        time.sleep(0.05)
        answer = ask()
    return answer


def environment(m, workload, pod_name):
    """The container's environment; passwords of Secrets made outside are made up."""
    out = {'PATH': os.environ.get('PATH', '')}
    for e in container_of(workload).get('env', []):
        source = e.get('valueFrom', {})
        if 'fieldRef' in source:
            out[e['name']] = pod_name
        elif 'secretKeyRef' in source:
            out[e['name']] = 'w' + source['secretKeyRef']['key']
        else:
            out[e['name']] = e['value']
    return out


def write_config(m, workload, folder, edits=()):
    """Files of the mounted ConfigMap into `folder`; each edit (old, new) must fit exactly once in all."""
    name = next(v['configMap']['name'] for v in workload['spec']['template']['spec']['volumes'] if 'configMap' in v)
    files = dict(m.get('ConfigMap', name)['data'])
    for old, new in edits:
        holders = [f for f in files if old in files[f]]
        if len(holders) != 1 or files[holders[0]].count(old) != 1:
            raise ValueError(f'the configuration holds {old!r} {len(holders)} times, expected once')
        files[holders[0]] = files[holders[0]].replace(old, new)
    folder.mkdir(parents=True)
    for f, text in files.items():
        (folder / f).write_text(text)
    return folder / 'broker.conf'


def test_config(docs, broker, folder):
    """`weir-broker -t`: (problem or None, True when this binary has no clusters)."""
    m = Manifests(docs)
    w = m.get('StatefulSet', 'weir-broker')
    conf = write_config(m, w, folder)
    env = environment(m, w, 'weir-broker-0')
    r = subprocess.run([broker, '-t', '-c', conf], env=env, capture_output=True, text=True, check=False)
    if r.returncode == 0:
        return None, False
    return r.stderr.strip(), NOT_BUILT in r.stderr


class Client:
    """The least of the NATS protocol: log in, ask one question."""

    def __init__(self, port, user=None, password=None):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=5)
        self.file = self.socket.makefile('rwb')
        self.file.readline()
        options = {'verbose': False, 'pedantic': False, 'lang': 'python', 'version': '0'}
        if user:
            options |= {'user': user, 'pass': password}
        self.first = self.exchange(f'CONNECT {json.dumps(options)}\r\nPING\r\n')

    def exchange(self, text):
        self.file.write(text.encode())
        self.file.flush()
        return self.file.readline().decode().strip()

    def request(self, subject, body):
        """The reply as JSON, or the error line."""
        line = self.exchange(f'SUB _INBOX.k8s 1\r\nPUB {subject} _INBOX.k8s {len(body)}\r\n{body}\r\n')
        while line.startswith(('PING', 'INFO')):
            line = self.file.readline().decode().strip()
        if not line.startswith('MSG'):
            return line
        return json.loads(self.file.read(int(line.split()[-1]) + 2))

    def close(self):
        self.file.close()
        self.socket.close()


class Process:
    def __init__(self, command, env, log, unshare):
        self.inside = bool(unshare)
        with open(log, 'ab') as out:
            self.process = subprocess.Popen([*unshare, *command], env=env, stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL)
        self.log = log

    def pid(self):
        """Id, on this machine, of the program itself."""
        own = self.process.pid
        if not self.inside:
            return own
        children = pathlib.Path(f'/proc/{own}/task/{own}/children')
        return until(lambda: int((children.read_text().split() or ['0'])[0]))

    def running(self):
        return self.process.poll() is None

    def send(self, number):
        if self.running():
            os.kill(self.pid(), number)

    def stop(self):
        if not self.running():
            return
        self.send(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Pod(Process):
    """One broker of the StatefulSet. `ports` are those of all pods: [client, cluster, monitor] each."""

    def __init__(self, docs, broker, folder, number, ports):
        self.m = Manifests(docs)
        self.workload = self.m.get('StatefulSet', 'weir-broker')
        name = f'weir-broker-{number}'
        self.ports = dict(zip(('client', 'cluster', 'monitor'), ports[number]))
        (folder / name).mkdir(parents=True)
        edits = [('0.0.0.0:4222', f'127.0.0.1:{self.ports["client"]}'),
                 ('0.0.0.0:8222', f'127.0.0.1:{self.ports["monitor"]}'),
                 ('store_dir: "/data"', f'store_dir: "{folder / name / "data"}"'),
                 ('lame_duck_grace_period: 10s', 'lame_duck_grace_period: 2s')]
        if replicas(self.workload) > 1:
            edits.append(('0.0.0.0:6222', f'127.0.0.1:{self.ports["cluster"]}'))
            edits += [(f'weir-broker-{i}.{self.workload["spec"]["serviceName"]}:6222', f'127.0.0.1:{p[1]}')
                      for i, p in enumerate(ports)]
        conf = write_config(self.m, self.workload, folder / name / 'etc', edits)
        self.env = environment(self.m, self.workload, name)
        arguments = [str(conf) if a == '/etc/weir/broker.conf' else a for a in container_of(self.workload)['args']]
        super().__init__([broker, *arguments], self.env, folder / f'{name}.log', namespace_command())
        self.broker = broker

    def probe(self, which):
        path = container_of(self.workload)[f'{which}Probe']['httpGet']['path']
        return get(self.ports['monitor'], path)[0]

    def pre_stop(self):
        """Runs the hook inside the pod; its exit code."""
        hook = container_of(self.workload)['lifecycle']['preStop']['exec']['command']
        if pathlib.Path(hook[0]).name != pathlib.Path(self.broker).name:
            return f'{hook[0]} is not in the image'
        user = ['--user', '--preserve-credentials'] if os.geteuid() else []
        enter = ['nsenter', *user, '--target', str(self.pid()), '--pid', '--mount']
        return subprocess.run([*enter, self.broker, *hook[1:]], capture_output=True, check=False).returncode


def tail(log):
    return '\n    '.join(pathlib.Path(log).read_text(errors='replace').splitlines()[-6:])


def check_probes(pod, startup, say):
    """All three probes of a pod that should be up; startup: the expected status of the full check. True: good."""
    good = True
    for which, expected in (('startup', startup), ('readiness', 200), ('liveness', 200)):
        until(lambda: pod.probe(which) == expected or not pod.running())
        status = pod.probe(which)
        if status != expected:
            say(f'{which}Probe answers {status}, expected {expected}; log:\n    {tail(pod.log)}')
            good = False
    return good


def make_stream(pod, copies):
    """Asks as user app for the stream K8S; None, or what went wrong."""
    app = Client(pod.ports['client'], 'app', pod.env['APP_PASSWORD'])
    config = {'name': 'K8S', 'subjects': ['k8s.>'], 'num_replicas': copies}
    made = app.request('$JS.API.STREAM.CREATE.K8S', json.dumps(config))
    app.close()
    return None if isinstance(made, dict) and 'error' not in made else f'user app cannot create a stream: {made}'


def check_accounts(pod, say):
    env, port = pod.env, pod.ports['client']
    for user, password in ((None, None), ('app', 'wrong')):
        c = Client(port, user, password)
        allowed = c.first == 'PONG'
        c.close()
        open_house = setting(pod.m.config(pod.workload), 'no_auth_user') is not None and user is None
        if allowed != open_house:
            say(f'user {user} with password {password}: {c.first}')
    spy = Client(port, 'surveyor', env['SURVEYOR_PASSWORD'])
    refused = spy.exchange('PUB $SYS.REQ.SERVER.x.RELOAD 0\r\n\r\n')
    spy.close()
    if 'Permissions Violation' not in refused:
        say(f'user surveyor may do more than survey: {refused}')


def check_surveyor(pod, surveyor, log, wanted, say):
    """The surveyor asks `pod`; its metrics must come to match each expression of `wanted`."""
    m = pod.m
    w = m.get('Deployment', 'weir-surveyor')
    port = free_ports(1)[0]
    env = environment(m, w, 'weir-surveyor-0')
    env |= {'NATS_SURVEYOR_SERVERS': f'nats://127.0.0.1:{pod.ports["client"]}', 'NATS_SURVEYOR_ADDR': '127.0.0.1',
            'NATS_SURVEYOR_PORT': str(port), 'NATS_SURVEYOR_POLL_INTERVAL': '300ms'}
    process = Process([surveyor], env, log, [])
    try:
        for which in ('startup', 'readiness', 'liveness'):
            path = container_of(w)[f'{which}Probe']['httpGet']['path']
            if not until(lambda: get(port, path)[0] == 200):
                say(f'surveyor: {which}Probe answers {get(port, path)[0]}; log:\n    {tail(log)}')
        if not until(lambda: all(re.search(t, get(port, '/metrics')[1]) for t in wanted)):
            text = get(port, '/metrics')[1]
            say(f'surveyor: its metrics lack {[t for t in wanted if not re.search(t, text)]}; log:\n    {tail(log)}')
    finally:
        process.stop()


def check_lame_duck(pod, say):
    """preStop, then SIGTERM: not ready, alive, and gone by itself with code 0."""
    if not pod.inside:
        return 'preStop not tried: no PID namespaces here'
    # A client that stays makes lame duck mode last until it is asked to leave.
    client = Client(pod.ports['client'], 'app', pod.env['APP_PASSWORD'])
    code = pod.pre_stop()
    if code != 0:
        say(f'preStop hook: {code}')
    if not until(lambda: pod.probe('readiness') == 503, 2):
        say(f'readinessProbe answers {pod.probe("readiness")} in lame duck mode, expected 503')
    pod.send(signal.SIGTERM)
    if pod.probe('liveness') != 200:
        say('SIGTERM in lame duck mode ends the broker at once')
    if not until(lambda: not pod.running(), 10) or pod.process.returncode != 0:
        say(f'after lame duck mode: exit code {pod.process.returncode}; log:\n    {tail(pod.log)}')
    client.close()
    return None


def check_single(docs, broker, surveyor, folder, say):
    """The dev overlay. Returns a note or None."""
    pod = Pod(docs, broker, folder, 0, [free_ports(3)])
    try:
        if not check_probes(pod, 200, say):
            return None
        check_accounts(pod, say)
        if problem := make_stream(pod, 1):
            say(problem)
        if surveyor:
            check_surveyor(pod, surveyor, folder / 'surveyor.log', SURVEYED + (
                'nats_survey_expected_count 1', 'nats_survey_surveyed_count 1'), say)
        return check_lame_duck(pod, say)
    finally:
        pod.stop()


def check_cluster(docs, broker, surveyor, folder, say):
    """Nodes start one after the other; a node without majority is ready but not started up."""
    n = replicas(Manifests(docs).get('StatefulSet', 'weir-broker'))
    numbers = free_ports(3 * n)
    ports = [numbers[3 * i:3 * i + 3] for i in range(n)]
    pods = [Pod(docs, broker, folder, 0, ports)]
    try:
        check_probes(pods[0], 503, lambda t: say(f'first of {n} nodes alone: {t}'))
        pods += [Pod(docs, broker, folder, i, ports) for i in range(1, n)]
        for i, pod in enumerate(pods):
            check_probes(pod, 200, lambda t, i=i: say(f'node {i} of {n}: {t}'))
        if not until(lambda: make_stream(pods[1], n) is None):
            say(f'no stream of {n} replicas: {make_stream(pods[1], n)}')
        elif surveyor:
            check_surveyor(pods[0], surveyor, folder / 'surveyor.log', SURVEYED + (
                f'nats_survey_expected_count {n}', f'nats_survey_surveyed_count {n}',
                rf'nats_jetstream_meta_quorum_margin\{{.*\}} {n // 2}\b',
                rf'nats_jetstream_stream_quorum_margin\{{.*stream="K8S".*\}} {n // 2}\b'), say)
        pods[-1].stop()
        for i, pod in enumerate(pods[:-1]):
            check_probes(pod, 200, lambda t, i=i: say(f'node {i}, after node {n - 1} stopped: {t}'))
    finally:
        for pod in pods:
            pod.stop()


def needed_packages(program):
    """Debian packages of the shared libraries that the program names itself; None when that cannot be told."""
    try:
        dynamic = subprocess.run(['readelf', '-d', program], capture_output=True, text=True, check=True).stdout
        paths = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    out = set()
    for lib in re.findall(r'\(NEEDED\).*\[(.+)\]', dynamic):
        found = re.search(rf'{re.escape(lib)} => (\S+)', paths)
        # Packages name files as they were before /lib became a link to /usr/lib.
        names = [found.group(1), found.group(1).removeprefix('/usr'), '/usr' + found.group(1)] if found else []
        for name in names:
            r = subprocess.run(['dpkg', '-S', name], capture_output=True, text=True, check=False)
            if r.returncode == 0:
                out.add(r.stdout.split(':')[0])
    return out
