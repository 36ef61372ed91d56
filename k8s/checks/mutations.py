"""Tests of manifests.check: each damage to good manifests must be noticed, by the rule that is meant for it."""
import copy

from k8s.checks.manifests import Manifests, check, container_of, pod_of


def broker(m):
    return m.get('StatefulSet', 'weir-broker')


def conf(m, old, new):
    data = m.get('ConfigMap', pod_of(broker(m))['volumes'][0]['configMap']['name'])['data']
    for name, text in data.items():
        data[name] = text.replace(old, new)


def put(get, key, value):
    def change(m):
        get(m)[key] = value
    return change


# (what is said, what is done to the production manifests)
DAMAGE = [
    ('apiVersion policy/v1beta1', put(lambda m: m.get('PodDisruptionBudget', 'weir-broker'), 'apiVersion',
                                      'policy/v1beta1')),
    ('does not select its own pods', put(lambda m: broker(m)['spec']['template']['metadata'], 'labels', {'a': 'b'})),
    ('expected one', put(lambda m: m.get('Service', 'weir-broker')['spec'], 'selector', {'a': 'b'})),
    ('leads to', put(lambda m: m.get('Service', 'weir-surveyor')['spec']['ports'][0], 'targetPort', 'nothing')),
    ('readinessProbe: missing', put(lambda m: container_of(broker(m))['readinessProbe']['httpGet'], 'port', 'web')),
    ('is not in the configuration', lambda m: conf(m, '0.0.0.0:8222', '0.0.0.0:8223')),
    ('ingress port', put(lambda m: m.get('NetworkPolicy', 'weir-broker')['spec']['ingress'][0]['ports'][0], 'port',
                         'mqtt')),
    ('egress port', put(lambda m: m.get('NetworkPolicy', 'weir-broker')['spec']['egress'][1]['ports'][0], 'port', 1)),
    ('no NetworkPolicy', lambda m: m.docs.remove(m.get('NetworkPolicy', 'weir-surveyor'))),
    ('no ServiceAccount', put(lambda m: pod_of(broker(m)), 'serviceAccountName', 'root')),
    ('no ConfigMap', put(lambda m: pod_of(broker(m))['volumes'][0]['configMap'], 'name', 'other')),
    ('and mounts differ', lambda m: container_of(broker(m))['volumeMounts'].pop()),
    ('no Secret', put(lambda m: container_of(broker(m))['env'][1]['valueFrom']['secretKeyRef'], 'key', 'sistem')),
    ('must come from a Secret', lambda m: container_of(broker(m))['env'].append({'name': 'X_PASSWORD', 'value': 'x'})),
    ('does not get', lambda m: conf(m, '$POD_NAME', '$HOST_NAME')),
    ('expected: runAsNonRoot', lambda m: pod_of(broker(m)).pop('securityContext') and None or
     pod_of(broker(m)).update(securityContext={})),
    ('expected: readOnlyRootFilesystem', put(lambda m: container_of(broker(m))['securityContext'],
                                             'readOnlyRootFilesystem', False)),
    ('expected: no limit of CPU', put(lambda m: container_of(broker(m))['resources']['limits'], 'cpu', '1')),
    ('Parallel', put(lambda m: broker(m)['spec'], 'podManagementPolicy', 'OrderedReady')),
    ('headless', put(lambda m: m.get('Service', 'weir-broker-headless')['spec'], 'publishNotReadyAddresses', False)),
    ('an even number', put(lambda m: broker(m)['spec'], 'replicas', 4)),
    ('routes', put(lambda m: broker(m)['spec'], 'replicas', 5)),
    ('NATS_SURVEYOR_COUNT', put(lambda m: broker(m)['spec'], 'replicas', 5)),
    ('maxUnavailable 1', put(lambda m: m.get('PodDisruptionBudget', 'weir-broker')['spec'], 'maxUnavailable', 2)),
    ('terminationGracePeriodSeconds', lambda m: conf(m, 'lame_duck_duration: 30s', 'lame_duck_duration: 1m')),
    ('is not the volume', lambda m: conf(m, 'store_dir: "/data"', 'store_dir: "/tmp"')),
    ('90 % of the volume', lambda m: conf(m, 'max_file_store: 160GB', 'max_file_store: 190GB')),
    ('half of the memory', lambda m: conf(m, 'max_memory_store: 2GB', 'max_memory_store: 4GB')),
    ('sync_interval', lambda m: conf(m, 'sync_interval: always', 'sync_interval: 2m')),
    ('no Service nats', put(lambda m: container_of(m.get('Deployment', 'weir-surveyor'))['env'][0], 'value',
                            'nats://nats:4222')),
]


def missed(good):
    """Texts of the damages that go unnoticed. `good`: the production manifests, without problems."""
    out = []
    for expected, damage in DAMAGE:
        docs = copy.deepcopy(good)
        damage_target = Manifests(docs)
        damage(damage_target)
        if not any(expected in problem for problem in check(docs)):
            out.append(expected)
    return out
