"""Rules that a rendered set of manifests must keep, without any cluster to ask.

check(docs) returns a list of texts, one per problem. Rules are those that `kubectl apply` accepts and that
go wrong later: selectors that select nothing, ports and names that do not exist, numbers that must agree.
"""
import re

# The group and version of each kind used; an API that Kubernetes removed cannot slip in.
API = {
    'Namespace': 'v1', 'ServiceAccount': 'v1', 'Service': 'v1', 'ConfigMap': 'v1', 'Secret': 'v1',
    'StatefulSet': 'apps/v1', 'Deployment': 'apps/v1', 'PodDisruptionBudget': 'policy/v1',
    'NetworkPolicy': 'networking.k8s.io/v1', 'ServiceMonitor': 'monitoring.coreos.com/v1',
    'PrometheusRule': 'monitoring.coreos.com/v1',
}
# What an operator makes by hand: name -> keys. k8s/README.md and docs/operations/kubernetes.md say how.
OUTSIDE_SECRETS = {'weir-passwords': {'system', 'surveyor', 'app', 'cluster'}}
STOP_MARGIN_S = 20
UNITS = {'Ki': 2**10, 'Mi': 2**20, 'Gi': 2**30, 'Ti': 2**40, 'KB': 2**10, 'MB': 2**20, 'GB': 2**30, 'TB': 2**40}


def bytes_of(text):
    number, unit = re.fullmatch(r'(\d+)([A-Za-z]*)', str(text)).groups()
    return int(number) * (UNITS[unit] if unit else 1)


def seconds_of(text):
    number, unit = re.fullmatch(r'(\d+)(s|m|h)', text).groups()
    return int(number) * {'s': 1, 'm': 60, 'h': 3600}[unit]


def setting(conf, key):
    """Value of `key: value` in a configuration text, without quotes; None when absent."""
    found = re.search(rf'^\s*{key}:\s*"?([^"\s,}}]+)"?', conf, re.M)
    return found.group(1) if found else None


class Manifests:
    """The objects of one render, by kind and name, with the questions that the rules ask."""

    def __init__(self, docs):
        self.docs = docs
        self.problems = []
        self.by_key = {}
        for d in docs:
            key = (d['kind'], d['metadata']['name'])
            if key in self.by_key:
                self.say(d, 'twice')
            self.by_key[key] = d

    def say(self, doc, text):
        self.problems.append(f'{doc["kind"]}/{doc["metadata"]["name"]}: {text}')

    def kind(self, *kinds):
        return [d for d in self.docs if d['kind'] in kinds]

    def get(self, kind, name):
        return self.by_key.get((kind, name))

    def workloads(self):
        return self.kind('StatefulSet', 'Deployment')

    def selected(self, labels):
        return [w for w in self.workloads()
                if labels.items() <= w['spec']['template']['metadata']['labels'].items()]

    def config(self, workload):
        """All files of the configuration map that the workload mounts, without comments; '' without one."""
        for volume in pod_of(workload).get('volumes', []):
            found = self.get('ConfigMap', volume.get('configMap', {}).get('name', ''))
            if found:
                return re.sub(r'(?m)^\s*#.*$', '', '\n'.join(found['data'].values()))
        return ''


def pod_of(workload):
    return workload['spec']['template']['spec']


def container_of(workload):
    return pod_of(workload)['containers'][0]


def port_names(workloads):
    return {p['name']: p['containerPort'] for w in workloads for p in container_of(w).get('ports', [])}


def check_api(m):
    spaces = {d['metadata'].get('namespace') for d in m.docs if d['kind'] != 'Namespace'}
    names = {d['metadata']['name'] for d in m.kind('Namespace')}
    if spaces != names:
        m.problems.append(f'objects are in {spaces}, the namespaces are {names}')
    for d in m.docs:
        if API.get(d['kind']) != d['apiVersion']:
            m.say(d, f'apiVersion {d["apiVersion"]}, expected {API.get(d["kind"])}')


def check_selectors(m):
    for w in m.workloads():
        if w not in m.selected(w['spec']['selector']['matchLabels']):
            m.say(w, 'does not select its own pods')
        pod = pod_of(w)
        anti = pod.get('affinity', {}).get('podAntiAffinity', {})
        terms = anti.get('requiredDuringSchedulingIgnoredDuringExecution', [])
        terms = terms + [t['podAffinityTerm'] for t in anti.get('preferredDuringSchedulingIgnoredDuringExecution', [])]
        if not terms:
            m.say(w, 'no anti-affinity: all replicas may be on one Kubernetes node')
        for term in terms + pod.get('topologySpreadConstraints', []):
            if not m.selected(term['labelSelector']['matchLabels']):
                m.say(w, f'{term["topologyKey"]}: selects no pod')
    for d in m.kind('Service', 'PodDisruptionBudget'):
        selector = d['spec']['selector']
        labels = selector.get('matchLabels', {}) if d['kind'] != 'Service' else selector
        if len(m.selected(labels)) != 1:
            m.say(d, f'selects {len(m.selected(labels))} workloads, expected one')
    for d in m.kind('ServiceMonitor'):
        labels = d['spec']['selector']['matchLabels']
        services = [s for s in m.kind('Service') if labels.items() <= s['metadata'].get('labels', {}).items()]
        ports = {p['name'] for s in services for p in s['spec']['ports']}
        if not {e['port'] for e in d['spec']['endpoints']} <= ports:
            m.say(d, f'no Service has its ports; found {ports}')


def check_ports(m):
    for s in m.kind('Service'):
        have = port_names(m.selected(s['spec']['selector']))
        for p in s['spec']['ports']:
            if have.get(p['targetPort']) != p['port']:
                m.say(s, f'port {p["name"]} {p["port"]} leads to {p["targetPort"]}={have.get(p["targetPort"])}')
    for w in m.workloads():
        have = port_names([w])
        for probe in ('startupProbe', 'readinessProbe', 'livenessProbe'):
            if container_of(w).get(probe, {}).get('httpGet', {}).get('port') not in have:
                m.say(w, f'{probe}: missing, or its port is')
        conf = m.config(w)
        for name in have if conf else []:
            if not re.search(rf'"0\.0\.0\.0:{have[name]}"', conf) and not (name == 'cluster' and replicas(w) == 1):
                m.say(w, f'port {name} {have[name]} is not in the configuration')


def peers_of(m, rule_side, policy):
    """Workloads that a `from` or `to` list of the same namespace means; all when it names other namespaces."""
    out = []
    for peer in rule_side:
        if 'namespaceSelector' in peer:
            return m.workloads()
        out += m.selected(peer['podSelector'].get('matchLabels', {}))
    if rule_side and not out:
        m.say(policy, 'a rule selects no pod')
    return out


def check_policies(m):
    covered = []
    for d in m.kind('NetworkPolicy'):
        own = m.selected(d['spec']['podSelector']['matchLabels'])
        covered += own
        if len(own) != 1 or set(d['spec']['policyTypes']) != {'Ingress', 'Egress'}:
            m.say(d, 'must cover both directions of one workload')
        for rule in d['spec']['ingress']:
            peers_of(m, rule['from'], d)
            for p in rule['ports']:
                if p['port'] not in port_names(own):
                    m.say(d, f'ingress port {p["port"]} is none of its pods')
        for rule in d['spec']['egress']:
            targets = peers_of(m, rule.get('to', []), d)
            for p in rule['ports']:
                if p['port'] not in (set(port_names(targets).values()) if targets else {53}):
                    m.say(d, f'egress port {p["port"]} is none of the pods it leads to')
    for w in m.workloads():
        if w not in covered:
            m.say(w, 'no NetworkPolicy')


def check_references(m):
    for w in m.workloads():
        pod, c = pod_of(w), container_of(w)
        if not m.get('ServiceAccount', pod['serviceAccountName']):
            m.say(w, f'no ServiceAccount {pod["serviceAccountName"]}')
        volumes = {v['name'] for v in pod.get('volumes', [])}
        volumes |= {t['metadata']['name'] for t in w['spec'].get('volumeClaimTemplates', [])}
        if volumes != {v['name'] for v in c.get('volumeMounts', [])}:
            m.say(w, f'volumes {volumes} and mounts differ')
        for v in pod.get('volumes', []):
            if 'configMap' in v and not m.get('ConfigMap', v['configMap']['name']):
                m.say(w, f'no ConfigMap {v["configMap"]["name"]}')
        for e in c.get('env', []):
            check_secret(m, w, e)
        for name in set(re.findall(r'\$([A-Z_]{3,})', m.config(w))) - {'SYS'}:
            if name not in {e['name'] for e in c['env']}:
                m.say(w, f'the configuration uses ${name}, which the container does not get')


def check_secret(m, w, e):
    ref = e.get('valueFrom', {}).get('secretKeyRef')
    if not ref:
        if 'PASSWORD' in e['name']:
            m.say(w, f'{e["name"]}: a password must come from a Secret')
        return
    made = m.get('Secret', ref['name'])
    keys = set(made['data']) if made else OUTSIDE_SECRETS.get(ref['name'], set())
    if ref['key'] not in keys:
        m.say(w, f'{e["name"]}: no Secret {ref["name"]} with key {ref["key"]}')


def check_security(m):
    for w in m.workloads():
        pod, c = pod_of(w), container_of(w)
        ps, cs = pod['securityContext'], c['securityContext']
        wants = {
            'one container': len(pod['containers']) == 1,
            'runAsNonRoot': ps.get('runAsNonRoot') is True and ps.get('runAsUser', 0) > 0,
            'seccomp RuntimeDefault': ps.get('seccompProfile', {}).get('type') == 'RuntimeDefault',
            'readOnlyRootFilesystem': cs.get('readOnlyRootFilesystem') is True,
            'no privilege escalation': cs.get('allowPrivilegeEscalation') is False,
            'drop ALL': cs.get('capabilities', {}).get('drop') == ['ALL'],
            'no API token': pod.get('automountServiceAccountToken') is False,
            'no service links': pod.get('enableServiceLinks') is False,
            'a limit of memory': 'memory' in c['resources'].get('limits', {}),
            'no limit of CPU': 'cpu' not in c['resources'].get('limits', {}),
        }
        for name in (n for n, good in wants.items() if not good):
            m.say(w, f'expected: {name}')


def replicas(workload):
    return workload['spec']['replicas']


def check_broker(m):
    w = m.get('StatefulSet', 'weir-broker')
    conf, spec, pod, c = m.config(w), w['spec'], pod_of(w), container_of(w)
    head = m.get('Service', spec['serviceName'])
    if not head or head['spec'].get('clusterIP') != 'None' or not head['spec'].get('publishNotReadyAddresses'):
        m.say(w, 'needs a headless Service that publishes pods that are not ready')
    if spec.get('podManagementPolicy') != 'Parallel':
        m.say(w, 'podManagementPolicy must be Parallel: the first pod alone has no majority')
    if replicas(w) % 2 == 0:
        m.say(w, f'{replicas(w)} replicas: an even number tolerates no more failures than one less')
    hosts = re.findall(r'nats-route://([^:"]+):6222', conf)
    expected = [f'weir-broker-{i}.{spec["serviceName"]}' for i in range(replicas(w))] if replicas(w) > 1 else []
    if hosts != expected:
        m.say(w, f'routes {hosts}, expected {expected}')
    budget = m.get('PodDisruptionBudget', 'weir-broker')
    if replicas(w) > 1 and (not budget or budget['spec'].get('maxUnavailable') != 1):
        m.say(w, 'needs a PodDisruptionBudget with maxUnavailable 1')
    duck = seconds_of(setting(conf, 'lame_duck_duration'))
    if pod['terminationGracePeriodSeconds'] < duck + STOP_MARGIN_S:
        m.say(w, f'terminationGracePeriodSeconds < lame_duck_duration + {STOP_MARGIN_S} s')
    mounts = {v['mountPath'] for v in c['volumeMounts'] if v['name'] == 'data'}
    if setting(conf, 'store_dir') not in mounts:
        m.say(w, f'store_dir {setting(conf, "store_dir")} is not the volume {mounts}')
    volume = bytes_of(spec['volumeClaimTemplates'][0]['spec']['resources']['requests']['storage'])
    if bytes_of(setting(conf, 'max_file_store')) > 0.9 * volume:
        m.say(w, 'max_file_store is more than 90 % of the volume')
    if 2 * bytes_of(setting(conf, 'max_memory_store')) > bytes_of(c['resources']['limits']['memory']):
        m.say(w, 'max_memory_store is more than half of the memory')
    if setting(conf, 'sync_interval') != 'always':
        m.say(w, 'sync_interval must be always')


def check_surveyor(m):
    w = m.get('Deployment', 'weir-surveyor')
    env = {e['name']: e.get('value') for e in container_of(w)['env']}
    if env.get('NATS_SURVEYOR_COUNT') != str(replicas(m.get('StatefulSet', 'weir-broker'))):
        m.say(w, 'NATS_SURVEYOR_COUNT is not the number of brokers')
    for host, port in re.findall(r'nats://([^:,]+):(\d+)', env['NATS_SURVEYOR_SERVERS']):
        service = m.get('Service', host)
        if not service or int(port) not in {p['port'] for p in service['spec']['ports']}:
            m.say(w, f'no Service {host} with port {port}')


RULES = (check_api, check_selectors, check_ports, check_policies, check_references, check_security, check_broker,
         check_surveyor)


def check(docs):
    m = Manifests(docs)
    for rule in RULES:
        try:
            rule(m)
        except (KeyError, TypeError, AttributeError, IndexError) as e:
            # A field that a rule relies on is not there: that is a finding, not an error of the checker.
            m.problems.append(f'{rule.__name__}: {type(e).__name__}: {e}')
    return m.problems
