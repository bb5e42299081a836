// node-vault against a Fastness server; started by `go test ./test/clients/`.
//
// The server is named by VAULT_ADDR, VAULT_CACERT and VAULT_TOKEN. Each test
// makes the mounts and policies that it needs under names of its own.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vault from 'node-vault';

const { VAULT_ADDR, VAULT_CACERT, VAULT_TOKEN } = process.env;
assert.ok(VAULT_ADDR && VAULT_CACERT && VAULT_TOKEN, 'run `go test ./test/clients/` in the main module');

// node-vault falls back to VAULT_TOKEN, which must not stand in for a token
// that a test leaves out on purpose.
delete process.env.VAULT_TOKEN;
const connect = (token) => vault({
  endpoint: VAULT_ADDR,
  token,
  requestOptions: { ca: readFileSync(VAULT_CACERT) },
});

// node-vault takes over every token that it creates or renews, so each call of
// root's gets a client of its own.
const root = new Proxy({}, { get: (_, name) => (...args) => connect(VAULT_TOKEN)[name](...args) });

const mount = (path, version) => root.mount({ mount_point: path, type: 'kv', options: { version } });

// refused says that the promise ends in an answer with this status and text.
const refused = (promise, status, text) => assert.rejects(promise, (error) => {
  assert.equal(error.response?.statusCode, status, error.message);
  if (text === '') {
    assert.deepEqual(error.response.body, { errors: [] });
  } else {
    assert.match(error.message, text);
  }
  return true;
});

const wrapped = (ttl) => ({ headers: { 'X-Vault-Wrap-TTL': ttl } });

test('a token is a login', async () => {
  assert.deepEqual((await root.tokenLookupSelf()).data.policies, ['root']);
  await refused(connect('hvs.nonsense').tokenLookupSelf(), 403, /permission denied/);
  await refused(connect().tokenLookupSelf(), 403, /permission denied/);
});

test('health and seal status', async () => {
  const health = await root.health();
  assert.equal(health.initialized, true);
  assert.equal(health.sealed, false);
  assert.equal(health.standby, false);
  const status = await root.status();
  assert.deepEqual([status.type, status.n, status.t, status.sealed], ['shamir', 1, 1, false]);
  assert.equal((await root.initialized()).initialized, true);
  assert.equal((await root.leader()).is_self, true);
});

test('KV version 1', async () => {
  await mount('node-kv1', '1');
  await root.write('node-kv1/app/db', { user: 'joe', port: 5432 });
  assert.deepEqual((await root.read('node-kv1/app/db')).data, { user: 'joe', port: 5432 });
  await root.write('node-kv1/app/db', { user: 'ann' });
  assert.deepEqual((await root.read('node-kv1/app/db')).data, { user: 'ann' });
  assert.deepEqual((await root.list('node-kv1')).data.keys, ['app/']);
  assert.deepEqual((await root.list('node-kv1/app')).data.keys, ['db']);
  await root.delete('node-kv1/app/db');
  await refused(root.read('node-kv1/app/db'), 404, '');
  await refused(root.list('node-kv1/app'), 404, '');
});

test('KV version 2: versions and check-and-set', async () => {
  await mount('node-kv2', '2');
  const stale = /check-and-set parameter did not match the current version/;
  const first = await root.write('node-kv2/data/app/db', { options: { cas: 0 }, data: { user: 'joe' } });
  assert.equal(first.data.version, 1);
  await refused(root.write('node-kv2/data/app/db', { options: { cas: 0 }, data: {} }), 400, stale);
  await root.write('node-kv2/data/app/db', { options: { cas: 1 }, data: { user: 'ann', port: 1 } });
  assert.deepEqual((await root.read('node-kv2/data/app/db')).data.data, { user: 'ann', port: 1 });
  assert.deepEqual((await root.read('node-kv2/data/app/db?version=1')).data.data, { user: 'joe' });
  assert.deepEqual((await root.list('node-kv2/metadata/app')).data.keys, ['db']);

  const patched = await root.update('node-kv2/data/app/db', { data: { port: null, tier: 'x' } });
  assert.equal(patched.data.version, 3);
  assert.deepEqual((await root.read('node-kv2/data/app/db')).data.data, { user: 'ann', tier: 'x' });
  assert.deepEqual((await root.read('node-kv2/subkeys/app/db')).data.subkeys, { user: null, tier: null });
  await refused(root.read('node-kv2/data/none'), 404, '');
  await refused(root.list('node-kv2/metadata/none'), 404, '');
});

test('KV version 2: delete, undelete, destroy', async () => {
  await mount('node-kv2-life', '2');
  await root.write('node-kv2-life/data/s', { data: { n: 1 } });
  await root.write('node-kv2-life/data/s', { data: { n: 2 } });
  await root.delete('node-kv2-life/data/s');
  // A deleted version is a 404 that still has its body.
  await assert.rejects(root.read('node-kv2-life/data/s'), (error) => {
    assert.equal(error.response.statusCode, 404);
    assert.equal(error.response.body.data.data, null);
    assert.notEqual(error.response.body.data.metadata.deletion_time, '');
    return true;
  });
  await root.write('node-kv2-life/undelete/s', { versions: [2] });
  assert.deepEqual((await root.read('node-kv2-life/data/s')).data.data, { n: 2 });
  await root.write('node-kv2-life/delete/s', { versions: [2] });
  await root.destroySecretVersions({ mount_point: 'node-kv2-life', path: 's', versions: [1] });
  const { data } = await root.read('node-kv2-life/metadata/s');
  assert.equal(data.versions['1'].destroyed, true);
  assert.equal(data.versions['2'].destroyed, false);
  assert.notEqual(data.versions['2'].deletion_time, '');
  await root.delete('node-kv2-life/metadata/s');
  await refused(root.read('node-kv2-life/metadata/s'), 404, '');
});

test('KV version 2: metadata', async () => {
  await mount('node-meta', '2');
  await root.write('node-meta/metadata/s', { max_versions: 2, custom_metadata: { owner: 'joe', team: 'red' } });
  for (const n of [1, 2, 3]) {
    await root.write('node-meta/data/s', { data: { n } });
  }
  await root.update('node-meta/metadata/s', { custom_metadata: { team: null } });
  const { data } = await root.read('node-meta/metadata/s');
  assert.deepEqual(data.custom_metadata, { owner: 'joe' });
  assert.deepEqual(Object.keys(data.versions).sort(), ['2', '3']);
  assert.deepEqual([data.oldest_version, data.current_version], [2, 3]);
  await root.write('node-meta/config', { cas_required: true });
  assert.equal((await root.read('node-meta/config')).data.cas_required, true);
  await refused(root.write('node-meta/data/s', { data: {} }), 400, /check-and-set parameter required for this call/);
});

test('policies', async () => {
  await mount('node-policies', '2');
  const path = 'node-policies/data/open';
  const rules = `path "${path}" { capabilities = ["create", "read", "update"] }`;
  await root.addPolicy({ name: 'node-open', rules });
  assert.ok((await root.policies()).data.policies.includes('node-open'));
  assert.equal((await root.getPolicy({ name: 'node-open' })).data.rules, rules);
  await refused(root.addPolicy({ name: 'node-bad', rules: 'path "x" {' }), 400, /./);

  const { auth } = await root.tokenCreate({ policies: ['node-open'] });
  const limited = connect(auth.client_token);
  await limited.write(path, { data: { a: 'b' } });
  await refused(limited.write('node-policies/data/shut', { data: {} }), 403, /permission denied/);
  await refused(limited.mounts(), 403, /permission denied/);
  const can = ['create', 'read', 'update'];
  assert.deepEqual((await limited.write('sys/capabilities-self', { paths: [path] })).data[path], can);
  assert.deepEqual((await root.write('sys/capabilities', { paths: [path], token: auth.client_token })).data[path], can);
  const byAccessor = await root.write('sys/capabilities-accessor', { paths: [path], accessor: auth.accessor });
  assert.deepEqual(byAccessor.data[path], can);

  await root.removePolicy({ name: 'node-open' });
  await refused(root.getPolicy({ name: 'node-open' }), 404, '');
  await refused(limited.read(path), 403, /permission denied/);
});

test('a token from creation to revocation', async () => {
  const { auth } = await root.tokenCreate({
    policies: ['default'], ttl: '1h', explicit_max_ttl: '4h', display_name: 'joe', meta: { team: 'red' },
  });
  const { client_token: token, accessor } = auth;
  assert.match(token, /^hvs\./);
  assert.equal(auth.lease_duration, 3600);
  const { data } = await root.tokenLookup({ token });
  assert.equal(data.display_name, 'token-joe');
  assert.deepEqual(data.meta, { team: 'red' });
  assert.equal((await root.tokenLookupAccessor({ accessor })).data.id, '');
  assert.ok((await root.tokenAccessors()).data.keys.includes(accessor));
  assert.equal((await root.tokenRenew({ token, increment: '30m' })).auth.lease_duration, 1800);
  assert.equal((await connect(token).tokenRenewSelf({ increment: '15m' })).auth.lease_duration, 900);
  await root.tokenRevokeAccessor({ accessor });
  await refused(root.tokenLookup({ token }), 403, /bad token/);
});

test('token trees and orphans', async () => {
  await root.addPolicy({ name: 'node-parent', rules: 'path "auth/token/create" { capabilities = ["update"] }' });
  const family = async () => {
    const parent = (await root.tokenCreate({ policies: ['node-parent'] })).auth.client_token;
    const child = (await connect(parent).tokenCreate({ display_name: 'child' })).auth.client_token;
    return { parent, child };
  };
  const one = await family();
  await root.tokenRevoke({ token: one.parent });
  await refused(connect(one.child).tokenLookupSelf(), 403, /permission denied/);
  const two = await family();
  await root.tokenRevokeOrphan({ token: two.parent });
  assert.equal((await connect(two.child).tokenLookupSelf()).data.orphan, true);
  await connect(two.child).tokenRevokeSelf();
  await refused(connect(two.child).tokenLookupSelf(), 403, /permission denied/);
  assert.equal((await root.tokenCreateOrphan({ policies: ['default'] })).auth.orphan, true);
});

test('limited uses and batch tokens', async () => {
  const twice = connect((await root.tokenCreate({ policies: ['default'], num_uses: 2 })).auth.client_token);
  await twice.tokenLookupSelf();
  await twice.tokenLookupSelf();
  await refused(twice.tokenLookupSelf(), 403, /permission denied/);

  const { auth } = await root.write('auth/token/create', { type: 'batch', policies: ['default'], ttl: '1h' });
  assert.match(auth.client_token, /^hvb\./);
  const batch = connect(auth.client_token);
  assert.equal((await batch.tokenLookupSelf()).data.type, 'batch');
  await refused(batch.tokenRenewSelf({ increment: '1m' }), 400, /batch tokens cannot be renewed/);
});

test('leases of tokens', async () => {
  const { client_token: token } = (await root.tokenCreate({ policies: ['default'], ttl: '1h' })).auth;
  const { keys } = (await root.list('sys/leases/lookup/auth/token/create')).data;
  const id = `auth/token/create/${keys[0]}`;
  assert.equal((await root.write('sys/leases/lookup', { lease_id: id })).data.id, id);
  await refused(root.renew({ lease_id: id, increment: 60 }), 400, /tokens cannot be renewed through this endpoint/);
  await refused(root.write('sys/leases/lookup', { lease_id: 'auth/token/create/none' }), 400, /invalid lease/);
  await root.tokenRevoke({ token });
});

test('wrapping', async () => {
  await mount('node-wrap', '1');
  await root.write('node-wrap/s', { a: 'b' });
  const { wrap_info: first } = await root.read('node-wrap/s', wrapped('5m'));
  assert.deepEqual([first.ttl, first.creation_path], [300, 'node-wrap/s']);
  const looked = await connect().write('sys/wrapping/lookup', { token: first.token });
  assert.equal(looked.data.creation_path, 'node-wrap/s');
  const { wrap_info: second } = await root.write('sys/wrapping/rewrap', { token: first.token });
  const dead = /wrapping token is not valid or does not exist/;
  await refused(root.unwrap({ token: first.token }), 400, dead);
  assert.deepEqual((await root.unwrap({ token: second.token })).data, { a: 'b' });
  await refused(root.unwrap({ token: second.token }), 400, dead);

  const any = await root.write('sys/wrapping/wrap', { n: 1 }, wrapped('60'));
  assert.deepEqual((await connect(any.wrap_info.token).write('sys/wrapping/unwrap', {})).data, { n: 1 });
});

test('AppRole with a wrapped secret-id', async () => {
  await root.enableAuth({ mount_point: 'node-approle', type: 'approle' });
  await root.addPolicy({ name: 'node-ci', rules: 'path "node-approle-kv/*" { capabilities = ["read"] }' });
  await mount('node-approle-kv', '1');
  await root.write('node-approle-kv/s', { a: 'b' });
  const role = { mount_point: 'node-approle', role_name: 'ci' };
  await root.addApproleRole({ ...role, policies: 'node-ci', token_ttl: 1200, secret_id_num_uses: 1 });
  assert.deepEqual((await root.approleRoles({ mount_point: 'node-approle' })).data.keys, ['ci']);
  assert.deepEqual((await root.getApproleRole(role)).data.token_policies, ['node-ci']);
  const { role_id } = (await root.getApproleRoleId(role)).data;
  const { wrap_info: wrapping } = await root.write('auth/node-approle/role/ci/secret-id', {}, wrapped('60s'));
  assert.equal(wrapping.creation_path, 'auth/node-approle/role/ci/secret-id');

  // The runner has a role-id and a wrapping token, and nothing else.
  const { secret_id } = (await connect(wrapping.token).unwrap()).data;
  const runner = connect();
  const { auth } = await runner.approleLogin({ mount_point: 'node-approle', role_id, secret_id });
  assert.deepEqual(auth.metadata, { role_name: 'ci' });
  assert.equal(auth.lease_duration, 1200);
  assert.deepEqual((await runner.read('node-approle-kv/s')).data, { a: 'b' });
  assert.deepEqual((await runner.tokenLookupSelf()).data.policies, ['default', 'node-ci']);
  await refused(connect(wrapping.token).unwrap(), 400, /wrapping token is not valid or does not exist/);
  await refused(connect().approleLogin({ mount_point: 'node-approle', role_id, secret_id }), 400, /invalid role or secret ID/);
  const again = (await root.getApproleRoleSecret(role)).data;
  assert.ok(again.secret_id && again.secret_id_accessor);
  await root.deleteApproleRole(role);
  await refused(connect().approleLogin({ mount_point: 'node-approle', role_id, secret_id: again.secret_id }), 400, /invalid role or secret ID/);
});

test('userpass', async () => {
  await root.enableAuth({ mount_point: 'node-people', type: 'userpass' });
  await root.write('auth/node-people/users/ann', { password: 'one', token_policies: 'node-a' });
  const ann = connect();
  const { auth } = await ann.userpassLogin({ mount_point: 'node-people', username: 'ann', password: 'one' });
  assert.deepEqual([auth.metadata, auth.token_policies], [{ username: 'ann' }, ['default', 'node-a']]);
  assert.equal((await ann.tokenLookupSelf()).data.display_name, 'node-people-ann');
  await refused(connect().userpassLogin({ mount_point: 'node-people', username: 'ann', password: 'two' }), 400, /invalid username or password/);
});

test('mounts', async () => {
  await mount('node-mounts', '1');
  await refused(mount('node-mounts', '1'), 400, /path is already in use at node-mounts\//);
  assert.equal((await root.mounts()).data['node-mounts/'].type, 'kv');
  await root.write('sys/mounts/node-mounts/tune', { default_lease_ttl: '1h', max_lease_ttl: '2h' });
  const tuned = (await root.read('sys/mounts/node-mounts/tune')).data;
  assert.deepEqual([tuned.default_lease_ttl, tuned.max_lease_ttl], [3600, 7200]);
  await root.write('node-mounts/x', { a: 'b' });
  const { data } = await root.remount({ from: 'node-mounts', to: 'node-moved' });
  let status = 'in-progress';
  for (let i = 0; i < 200 && status === 'in-progress'; i += 1) {
    status = (await root.read(`sys/remount/status/${data.migration_id}`)).data.migration_info.status;
  }
  assert.equal(status, 'success');
  assert.deepEqual((await root.read('node-moved/x')).data, { a: 'b' });
  await root.unmount({ mount_point: 'node-moved' });
  await refused(root.read('node-moved/x'), 404, /no handler for route/);
});
