"""Lets Heat of Debian 12 carry out signals to scaling policies.

A security update of oslo.messaging gives notifications a copy of the context without credentials. Heat 19 asks keystone
for the roles of every context that comes from its database, and cannot for such a copy: the signal fails before anything
is scaled. With the copy's own roles it works, as it does in releases of Heat that know of the copy.
"""
from heat.common import context

_load = context.StoredContext._load_keystone_data


def _load_unless_redacted(self):
    if self.trust_id or self.password or self.auth_token:
        _load(self)
        return
    self._keystone_loaded = True
    self.roles = []


context.StoredContext._load_keystone_data = _load_unless_redacted
