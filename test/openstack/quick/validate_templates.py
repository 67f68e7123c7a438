"""Validates Heat templates offline, by the modules of Heat and its client themselves.

Reads a JSON list of [template file, parameters] from standard input and writes a list of verdicts: what Heat made of
each template, or {"refused": reason}. Names of images, networks and the like are taken for granted, since nobody can
be asked; everything else that Heat checks when a stack is created is checked, in nested templates too. Beyond that, the
actions of deployments are checked: Heat stores a misspelt one without a word, and never carries it out.
"""
import json
import os
import sys
import warnings
from unittest import mock

warnings.simplefilter('ignore')

from heatclient.common import template_utils  # noqa: E402
from heatclient import exc as client_exception  # noqa: E402
from oslo_config import cfg  # noqa: E402
import urllib.error  # noqa: E402
import yaml  # noqa: E402

from heat.common import config, context, exception  # noqa: E402,F401
from heat.engine import environment, resources, stack, template  # noqa: E402
from heat.engine.resources.openstack.heat.software_deployment import SoftwareDeployment  # noqa: E402

# Questions that Heat would put to Glance, Nova and Neutron, with the answer of a cloud that has everything.
UNASKED = {
    'heat.engine.constraints.BaseCustomConstraint.validate': lambda *_: True,
    'heat.engine.resource.Resource.is_service_available': classmethod(lambda *_: (True, None)),
    'heat.engine.resources.openstack.nova.server.Server._validate_image_flavor': lambda *_: None,
    'heat.engine.clients.os.nova.NovaClientPlugin.absolute_limits': lambda *_: {'maxServerMeta': 128},
    'heat.engine.clients.os.nova.NovaClientPlugin.is_version_supported': lambda *_: True,
    'heat.common.grouputils.get_member_definitions': lambda *_, **__: [],
}


def check_actions(parsed, files):
    """Refuses deployments with actions that Heat does not have, in the templates of members too."""
    nested = [yaml.safe_load(text) for name, text in files.items() if name.endswith('.yaml')]
    for name, resource in (item for one in [parsed, *nested] for item in one['resources'].items()):
        if resource['type'].startswith('OS::Heat::SoftwareDeployment'):
            unknown = set(resource['properties'].get('actions', ())) - set(SoftwareDeployment.ALLOWED_DEPLOY_ACTIONS)
            if unknown:
                raise ValueError(f'{name}: no such action: {", ".join(sorted(unknown))}')


def describe(validated):
    """Resources with what the tests ask about them; the resources of nested templates by name."""
    out = {}
    for name, resource in validated.resources.items():
        entry = {'type': resource.type(), 'requires': sorted(r.name for r in validated.dependencies.requires(resource))}
        if resource.type() == 'OS::Heat::SoftwareDeployment':
            entry['actions'] = list(resource.properties['actions'])
            entry['inputs'] = sorted(resource.properties['input_values'])
        if resource.type() == 'OS::Heat::SoftwareConfig':
            entry['inputs'] = sorted(i['name'] for i in resource.properties['inputs'])
            entry['outputs'] = sorted(o['name'] for o in resource.properties['outputs'])
        if resource.type().endswith('.yaml'):
            entry['nested'] = sorted(resource.child_template()['resources'])
        out[name] = entry
    return out


def verdict(path, parameters):
    """What Heat makes of one template."""
    try:
        files, parsed = template_utils.get_template_contents(os.path.abspath(path))
        files = {name: text.decode() if isinstance(text, bytes) else text for name, text in files.items()}
        env = environment.Environment({'parameters': parameters})
        made = template.Template(parsed, files=files, env=env)
        validated = stack.Stack(context.RequestContext(project_id='project', user_id='user'), 'offline', made)
        validated.validate()
        check_actions(parsed, files)
        return {'resources': describe(validated), 'outputs': sorted(validated.outputs)}
    except (exception.HeatException, client_exception.CommandError, yaml.YAMLError, urllib.error.URLError,
            ValueError, KeyError, TypeError) as refused:
        return {'refused': f'{type(refused).__name__}: {refused}'}


def main():
    cfg.CONF([], project='heat')
    with open(os.devnull, 'w', encoding='utf-8') as null, mock.patch('sys.stderr', null):
        resources.initialise()
        for target, answer in UNASKED.items():
            mock.patch(target, answer).start()
        json.dump([verdict(*case) for case in json.load(sys.stdin)], sys.stdout)


main()
