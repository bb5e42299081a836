"""hvac against a Fastness server; started by `go test ./test/clients/`.

The server is named by VAULT_ADDR, VAULT_CACERT and VAULT_TOKEN. Each test
makes the mounts and policies that it needs under names of its own.
"""

import os
import unittest

import hvac
from hvac import exceptions


def connect(token=None):
    """A client with the given token, or with root's."""
    return hvac.Client(
        url=os.environ["VAULT_ADDR"],
        token=os.environ["VAULT_TOKEN"] if token is None else token,
        verify=os.environ["VAULT_CACERT"],
    )


class Case(unittest.TestCase):
    def setUp(self):
        self.root = connect()

    def mount(self, path, version):
        self.root.sys.enable_secrets_engine("kv", path=path, options={"version": version})

    def token(self, **options):
        return self.root.auth.token.create(**options)["auth"]

    def refused(self, kind, text):
        return self.assertRaisesRegex(kind, text)


class Login(Case):
    def test_a_token_is_a_login(self):
        self.assertTrue(self.root.is_authenticated())
        self.assertEqual(self.root.auth.token.lookup_self()["data"]["policies"], ["root"])

    def test_a_wrong_token_is_none(self):
        self.assertFalse(connect("hvs.nonsense").is_authenticated())
        with self.refused(exceptions.Forbidden, "permission denied"):
            connect("hvs.nonsense").auth.token.lookup_self()


class Health(Case):
    def test_status(self):
        health = self.root.sys.read_health_status(method="GET")
        self.assertTrue(health["initialized"])
        self.assertFalse(health["sealed"])
        self.assertEqual(self.root.sys.read_health_status().status_code, 200)
        self.assertTrue(self.root.sys.is_initialized())
        self.assertFalse(self.root.sys.is_sealed())
        status = self.root.sys.read_seal_status()
        self.assertEqual((status["type"], status["n"], status["t"]), ("shamir", 1, 1))
        self.assertTrue(self.root.sys.read_leader_status()["is_self"])


class KV1(Case):
    def test_life(self):
        self.mount("py-kv1", "1")
        kv = self.root.secrets.kv.v1
        kv.create_or_update_secret("app/db", {"user": "joe", "port": 5432}, mount_point="py-kv1")
        read = kv.read_secret("app/db", mount_point="py-kv1")
        self.assertEqual(read["data"], {"user": "joe", "port": 5432})
        kv.create_or_update_secret("app/db", {"user": "ann"}, mount_point="py-kv1")
        self.assertEqual(kv.read_secret("app/db", mount_point="py-kv1")["data"], {"user": "ann"})
        self.assertEqual(kv.list_secrets("", mount_point="py-kv1")["data"]["keys"], ["app/"])
        self.assertEqual(kv.list_secrets("app", mount_point="py-kv1")["data"]["keys"], ["db"])
        kv.delete_secret("app/db", mount_point="py-kv1")
        with self.assertRaises(exceptions.InvalidPath) as caught:
            kv.read_secret("app/db", mount_point="py-kv1")
        self.assertFalse(caught.exception.errors)
        with self.assertRaises(exceptions.InvalidPath):
            kv.list_secrets("app", mount_point="py-kv1")


class KV2(Case):
    def setUp(self):
        super().setUp()
        self.at = "py-" + self._testMethodName
        self.mount(self.at, "2")
        self.kv = self.root.secrets.kv.v2

    def tearDown(self):
        self.root.sys.disable_secrets_engine(self.at)

    def put(self, path, secret, **options):
        answer = self.kv.create_or_update_secret(path, secret, mount_point=self.at, **options)
        return answer["data"]["version"]

    def get(self, path, version=None):
        return self.kv.read_secret_version(
            path, version=version, mount_point=self.at, raise_on_deleted_version=True
        )["data"]

    def test_versions(self):
        self.assertEqual(self.put("app/db", {"user": "joe"}), 1)
        self.assertEqual(self.put("app/db", {"user": "ann"}), 2)
        self.assertEqual(self.get("app/db")["data"], {"user": "ann"})
        self.assertEqual(self.get("app/db", version=1)["data"], {"user": "joe"})
        self.assertEqual(self.get("app/db")["metadata"]["version"], 2)
        listed = self.kv.list_secrets("", mount_point=self.at)
        self.assertEqual(listed["data"]["keys"], ["app/"])
        with self.assertRaises(exceptions.InvalidPath):
            self.get("app/none")
        with self.assertRaises(exceptions.InvalidPath):
            self.get("app/db", version=9)

    def test_check_and_set(self):
        text = "check-and-set parameter did not match the current version"
        self.assertEqual(self.put("s", {"n": 1}, cas=0), 1)
        with self.refused(exceptions.InvalidRequest, text):
            self.put("s", {"n": 2}, cas=0)
        self.assertEqual(self.put("s", {"n": 2}, cas=1), 2)
        self.kv.configure(cas_required=True, mount_point=self.at)
        self.assertTrue(self.kv.read_configuration(mount_point=self.at)["data"]["cas_required"])
        with self.refused(exceptions.InvalidRequest, "check-and-set parameter required for this call"):
            self.put("s", {"n": 3})

    def test_patch(self):
        # hvac's own patch reads, merges and writes with check-and-set.
        self.put("s", {"user": "joe", "port": 1})
        self.kv.patch("s", {"port": 2}, mount_point=self.at)
        self.assertEqual(self.get("s")["data"], {"user": "joe", "port": 2})
        # The server's: a merge patch, where null removes.
        answer = self.root.adapter.request(
            "patch",
            f"/v1/{self.at}/data/s",
            json={"data": {"port": None}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        self.assertEqual(answer["data"]["version"], 3)
        self.assertEqual(self.get("s")["data"], {"user": "joe"})

    def test_subkeys(self):
        self.put("s", {"user": "joe", "deep": {"a": {"b": "c"}}})
        keys = self.root.read(f"{self.at}/subkeys/s")["data"]["subkeys"]
        self.assertEqual(keys, {"user": None, "deep": {"a": {"b": None}}})

    def test_delete_and_undelete(self):
        self.put("s", {"n": 1})
        self.put("s", {"n": 2})
        self.kv.delete_latest_version_of_secret("s", mount_point=self.at)
        with self.assertRaises(exceptions.InvalidPath):
            self.get("s")
        # hvac reads the body of a 404 when asked not to raise: it must be there.
        gone = self.kv.read_secret_version("s", mount_point=self.at, raise_on_deleted_version=False)
        self.assertIsNone(gone["data"]["data"])
        self.assertNotEqual(gone["data"]["metadata"]["deletion_time"], "")
        self.kv.undelete_secret_versions("s", [2], mount_point=self.at)
        self.assertEqual(self.get("s")["data"], {"n": 2})
        self.kv.delete_secret_versions("s", [1], mount_point=self.at)
        with self.assertRaises(exceptions.InvalidPath):
            self.get("s", version=1)

    def test_destroy(self):
        self.put("s", {"n": 1})
        self.put("s", {"n": 2})
        self.kv.destroy_secret_versions("s", [1], mount_point=self.at)
        self.kv.undelete_secret_versions("s", [1], mount_point=self.at)
        with self.assertRaises(exceptions.InvalidPath):
            self.get("s", version=1)
        versions = self.kv.read_secret_metadata("s", mount_point=self.at)["data"]["versions"]
        self.assertTrue(versions["1"]["destroyed"])
        self.assertFalse(versions["2"]["destroyed"])
        self.kv.delete_metadata_and_all_versions("s", mount_point=self.at)
        with self.assertRaises(exceptions.InvalidPath):
            self.kv.read_secret_metadata("s", mount_point=self.at)

    def test_metadata(self):
        self.kv.update_metadata(
            "s", max_versions=2, delete_version_after="1h", custom_metadata={"owner": "joe"}, mount_point=self.at
        )
        for n in range(3):
            self.put("s", {"n": n})
        meta = self.kv.read_secret_metadata("s", mount_point=self.at)["data"]
        self.assertEqual(meta["max_versions"], 2)
        self.assertEqual(meta["delete_version_after"], "1h0m0s")
        self.assertEqual(meta["custom_metadata"], {"owner": "joe"})
        self.assertEqual(sorted(meta["versions"]), ["2", "3"])
        self.assertEqual((meta["oldest_version"], meta["current_version"]), (2, 3))
        self.assertEqual(self.get("s")["metadata"]["custom_metadata"], {"owner": "joe"})


class Policies(Case):
    def test_a_limited_token(self):
        self.mount("py-policies", "2")
        rules = 'path "py-policies/data/open" { capabilities = ["create", "read", "update"] }'
        self.root.sys.create_or_update_policy("py-open", rules)
        self.assertIn("py-open", self.root.sys.list_policies()["data"]["policies"])
        self.assertEqual(self.root.sys.read_policy("py-open")["data"]["rules"], rules)
        self.root.sys.create_or_update_acl_policy("py-acl", rules)
        self.assertIn("py-acl", self.root.sys.list_acl_policies()["data"]["keys"])
        self.assertEqual(self.root.sys.read_acl_policy("py-acl")["data"]["policy"], rules)
        self.root.sys.delete_acl_policy("py-acl")

        auth = self.token(policies=["py-open"])
        limited = connect(auth["client_token"])
        kv = limited.secrets.kv.v2
        kv.create_or_update_secret("open", {"a": "b"}, mount_point="py-policies")
        with self.refused(exceptions.Forbidden, "permission denied"):
            kv.create_or_update_secret("shut", {"a": "b"}, mount_point="py-policies")
        with self.refused(exceptions.Forbidden, "permission denied"):
            limited.sys.list_mounted_secrets_engines()

        path = "py-policies/data/open"
        can = ["create", "read", "update"]
        self.assertEqual(limited.sys.get_capabilities([path])["data"]["capabilities"], can)
        by_token = self.root.sys.get_capabilities([path], token=auth["client_token"])
        self.assertEqual(by_token["data"][path], can)
        by_accessor = self.root.sys.get_capabilities([path], accessor=auth["accessor"])
        self.assertEqual(by_accessor["data"][path], can)

        self.root.sys.delete_policy("py-open")
        with self.assertRaises(exceptions.InvalidPath):
            self.root.sys.read_policy("py-open")
        with self.refused(exceptions.Forbidden, "permission denied"):
            limited.read(path)

    def test_a_policy_that_does_not_parse(self):
        with self.assertRaises(exceptions.InvalidRequest):
            self.root.sys.create_or_update_policy("py-bad", 'path "x" {')


class Tokens(Case):
    def test_life(self):
        auth = self.token(policies=["default"], ttl="1h", explicit_max_ttl="4h", display_name="joe", meta={"team": "red"})
        self.assertTrue(auth["client_token"].startswith("hvs."))
        self.assertEqual(auth["lease_duration"], 3600)
        token, accessor = auth["client_token"], auth["accessor"]
        data = self.root.auth.token.lookup(token)["data"]
        self.assertEqual(data["display_name"], "token-joe")
        self.assertEqual(data["explicit_max_ttl"], 14400)
        self.assertEqual(data["meta"], {"team": "red"})
        self.assertEqual(self.root.auth.token.lookup_accessor(accessor)["data"]["id"], "")
        self.assertIn(accessor, self.root.auth.token.list_accessors()["data"]["keys"])
        self.assertEqual(self.root.auth.token.renew(token, increment="30m")["auth"]["lease_duration"], 1800)
        self.assertEqual(connect(token).auth.token.renew_self(increment="15m")["auth"]["lease_duration"], 900)
        self.assertEqual(self.root.auth.token.renew_accessor(accessor, increment="10m")["auth"]["lease_duration"], 600)
        connect(token).auth.token.revoke_self()
        with self.refused(exceptions.Forbidden, "bad token"):
            self.root.auth.token.lookup(token)

    def test_a_tree_and_an_orphan(self):
        self.root.sys.create_or_update_policy("py-parent", 'path "auth/token/create" { capabilities = ["update"] }')
        parent = self.token(policies=["py-parent"])["client_token"]
        child = connect(parent).auth.token.create()["auth"]["client_token"]
        orphan = self.root.auth.token.create_orphan(policies=["default"])["auth"]
        self.assertTrue(orphan["orphan"])
        self.root.auth.token.revoke(parent)
        self.assertFalse(connect(child).is_authenticated())
        parent = self.token(policies=["py-parent"])["client_token"]
        child = connect(parent).auth.token.create()["auth"]
        self.root.auth.token.revoke_and_orphan_children(parent)
        self.assertTrue(connect(child["client_token"]).is_authenticated())
        self.root.auth.token.revoke_accessor(child["accessor"])
        self.assertFalse(connect(child["client_token"]).is_authenticated())

    def test_uses(self):
        twice = connect(self.token(policies=["default"], num_uses=2)["client_token"])
        twice.auth.token.lookup_self()
        twice.auth.token.lookup_self()
        with self.refused(exceptions.Forbidden, "permission denied"):
            twice.auth.token.lookup_self()

    def test_batch(self):
        auth = self.token(policies=["default"], type="batch", ttl="1h")
        self.assertTrue(auth["client_token"].startswith("hvb."))
        batch = connect(auth["client_token"])
        self.assertEqual(batch.auth.token.lookup_self()["data"]["type"], "batch")
        with self.refused(exceptions.InvalidRequest, "batch tokens cannot be renewed"):
            batch.auth.token.renew_self()

    def test_leases(self):
        token = self.token(policies=["default"], ttl="1h")["client_token"]
        prefix = "auth/token/create"
        keys = self.root.sys.list_leases(prefix)["data"]["keys"]
        lease = f"{prefix}/{keys[0]}"
        self.assertEqual(self.root.sys.read_lease(lease)["data"]["id"], lease)
        with self.refused(exceptions.InvalidRequest, "tokens cannot be renewed through this endpoint"):
            self.root.sys.renew_lease(lease)
        with self.refused(exceptions.InvalidRequest, "invalid lease"):
            self.root.sys.read_lease(f"{prefix}/none")
        self.root.auth.token.revoke(token)


class Wrapping(Case):
    def test_wrap_and_unwrap(self):
        self.mount("py-wrap", "1")
        self.root.secrets.kv.v1.create_or_update_secret("s", {"a": "b"}, mount_point="py-wrap")
        wrapped = self.root.read("py-wrap/s", wrap_ttl="5m")["wrap_info"]
        self.assertEqual((wrapped["ttl"], wrapped["creation_path"]), (300, "py-wrap/s"))
        looked = self.root.write_data("sys/wrapping/lookup", data={"token": wrapped["token"]})
        self.assertEqual(looked["data"]["creation_path"], "py-wrap/s")
        again = self.root.write_data("sys/wrapping/rewrap", data={"token": wrapped["token"]})["wrap_info"]
        text = "wrapping token is not valid or does not exist"
        with self.refused(exceptions.InvalidRequest, text):
            self.root.sys.unwrap(wrapped["token"])
        self.assertEqual(self.root.sys.unwrap(again["token"])["data"], {"a": "b"})
        with self.refused(exceptions.InvalidRequest, text):
            self.root.sys.unwrap(again["token"])

    def test_any_data(self):
        wrapped = self.root.sys.wrap({"n": 1}, ttl=60)["wrap_info"]
        opened = connect(wrapped["token"]).sys.unwrap()
        self.assertEqual(opened["data"], {"n": 1})

    def test_a_new_token(self):
        wrapped = self.root.auth.token.create(policies=["default"], wrap_ttl="60s")["wrap_info"]
        self.assertTrue(wrapped["wrapped_accessor"])
        token = self.root.sys.unwrap(wrapped["token"])["auth"]["client_token"]
        self.assertTrue(connect(token).is_authenticated())


class AppRole(Case):
    def test_wrapped_secret_id(self):
        self.root.sys.enable_auth_method("approle", path="py-approle")
        self.root.sys.create_or_update_policy("py-ci", 'path "py-approle-kv/*" { capabilities = ["read"] }')
        self.mount("py-approle-kv", "1")
        self.root.secrets.kv.v1.create_or_update_secret("s", {"a": "b"}, mount_point="py-approle-kv")
        at = {"mount_point": "py-approle"}
        approle = self.root.auth.approle
        approle.create_or_update_approle(
            "ci", token_policies=["py-ci"], token_ttl="20m", token_max_ttl="1h", secret_id_num_uses=1, secret_id_ttl="10m", **at
        )
        self.assertEqual(approle.list_roles(**at)["data"]["keys"], ["ci"])
        role = approle.read_role("ci", **at)["data"]
        self.assertEqual((role["token_policies"], role["token_ttl"], role["bind_secret_id"]), (["py-ci"], 1200, True))
        role_id = approle.read_role_id("ci", **at)["data"]["role_id"]
        wrapped = approle.generate_secret_id("ci", metadata={"host": "runner"}, wrap_ttl="60s", **at)["wrap_info"]
        self.assertEqual(wrapped["creation_path"], "auth/py-approle/role/ci/secret-id")
        self.assertEqual(approle.list_secret_id_accessors("ci", **at)["data"]["keys"], [wrapped["wrapped_accessor"]])

        # The runner has a role-id and a wrapping token, and nothing else.
        secret_id = connect(wrapped["token"]).sys.unwrap()["data"]["secret_id"]
        runner = connect("")
        auth = runner.auth.approle.login(role_id, secret_id, **at)["auth"]
        self.assertEqual(auth["metadata"], {"role_name": "ci", "host": "runner"})
        self.assertEqual((auth["lease_duration"], auth["renewable"]), (1200, True))
        self.assertEqual(runner.secrets.kv.v1.read_secret("s", mount_point="py-approle-kv")["data"], {"a": "b"})
        self.assertEqual(runner.auth.token.renew_self(increment="40m")["auth"]["lease_duration"], 2400)
        with self.refused(exceptions.InvalidRequest, "wrapping token is not valid or does not exist"):
            connect(wrapped["token"]).sys.unwrap()
        with self.refused(exceptions.InvalidRequest, "invalid role or secret ID"):
            connect("").auth.approle.login(role_id, secret_id, **at)
        with self.refused(exceptions.InvalidRequest, "invalid role or secret ID"):
            connect("").auth.approle.login("nobody", secret_id, **at)

    def test_secret_ids(self):
        self.root.sys.enable_auth_method("approle", path="py-ids")
        at = {"mount_point": "py-ids"}
        approle = self.root.auth.approle
        approle.create_or_update_approle("app", secret_id_bound_cidrs=["127.0.0.0/8"], **at)
        approle.update_role_id("app", "my-role", **at)
        made = approle.create_custom_secret_id("app", "my-secret", metadata={"a": "b"}, **at)["data"]
        looked = approle.read_secret_id("app", "my-secret", **at)["data"]
        self.assertEqual((looked["secret_id_accessor"], looked["metadata"]), (made["secret_id_accessor"], {"a": "b"}))
        looked = approle.read_secret_id_accessor("app", made["secret_id_accessor"], **at)["data"]
        self.assertEqual((looked["secret_id_num_uses"], looked["secret_id_ttl"]), (0, 0))
        self.assertTrue(connect("").auth.approle.login("my-role", "my-secret", **at)["auth"]["client_token"])
        approle.destroy_secret_id_accessor("app", made["secret_id_accessor"], **at)
        with self.refused(exceptions.InvalidRequest, "invalid role or secret ID"):
            connect("").auth.approle.login("my-role", "my-secret", **at)
        approle.delete_role("app", **at)
        with self.assertRaises(exceptions.InvalidPath):
            approle.read_role("app", **at)


class Userpass(Case):
    def test_life(self):
        self.root.sys.enable_auth_method("userpass", path="py-people")
        at = {"mount_point": "py-people"}
        users = self.root.auth.userpass
        users.create_or_update_user("Ann", password="one", policies="py-a,py-b", **at)
        self.assertEqual(users.list_user(**at)["data"]["keys"], ["ann"])
        self.assertEqual(users.read_user("ann", **at)["data"]["token_policies"], ["py-a", "py-b"])
        auth = connect("").auth.userpass.login("ANN", "one", **at)["auth"]
        self.assertEqual((auth["metadata"], auth["token_policies"]), ({"username": "ann"}, ["default", "py-a", "py-b"]))
        users.update_password_on_user("ann", "two", **at)
        with self.refused(exceptions.InvalidRequest, "invalid username or password"):
            connect("").auth.userpass.login("ann", "one", **at)
        self.assertTrue(connect("").auth.userpass.login("ann", "two", **at)["auth"]["client_token"])
        users.delete_user("ann", **at)
        with self.refused(exceptions.InvalidRequest, "invalid username or password"):
            connect("").auth.userpass.login("ann", "two", **at)


class Mounts(Case):
    def test_life(self):
        self.mount("py-mounts", "1")
        with self.refused(exceptions.InvalidRequest, "path is already in use at py-mounts/"):
            self.mount("py-mounts", "1")
        self.assertIn("py-mounts/", self.root.sys.list_mounted_secrets_engines()["data"])
        self.root.sys.tune_mount_configuration(
            "py-mounts", default_lease_ttl="1h", max_lease_ttl="2h", description="tuned"
        )
        config = self.root.sys.read_mount_configuration("py-mounts")["data"]
        self.assertEqual((config["default_lease_ttl"], config["max_lease_ttl"]), (3600, 7200))
        self.root.secrets.kv.v1.create_or_update_secret("x", {"a": "b"}, mount_point="py-mounts")
        # A move is done when its status says so; a few questions are enough.
        moved = self.root.sys.move_backend("py-mounts", "py-moved")["data"]["migration_id"]
        for _ in range(200):
            info = self.root.read(f"sys/remount/status/{moved}")["data"]["migration_info"]
            if info["status"] != "in-progress":
                break
        self.assertEqual(info["status"], "success")
        self.assertEqual(self.root.secrets.kv.v1.read_secret("x", mount_point="py-moved")["data"], {"a": "b"})
        self.root.sys.disable_secrets_engine("py-moved")
        with self.refused(exceptions.InvalidPath, "no handler for route"):
            self.root.secrets.kv.v1.read_secret("x", mount_point="py-moved")


class Identity(Case):
    def test_entities_and_their_aliases(self):
        identity = self.root.secrets.identity
        accessor = self.root.sys.list_auth_methods()["data"]["token/"]["accessor"]
        made = identity.create_or_update_entity("py-dora", metadata={"team": "red"}, policies=["default"])["data"]
        again = identity.create_or_update_entity_by_name("PY-dora", metadata={"team": "blue"})
        self.assertEqual(again.status_code, 204)
        identity.update_entity(made["id"], name="py-nora")
        entity = identity.read_entity_by_name("py-nora")["data"]
        self.assertEqual(
            (entity["id"], entity["metadata"], entity["policies"], entity["disabled"]),
            (made["id"], {"team": "blue"}, ["default"], False),
        )
        alias = identity.create_or_update_entity_alias("py-nora", canonical_id=made["id"], mount_accessor=accessor)["data"]
        identity.update_entity_alias(alias["id"], "py-nora2", canonical_id=made["id"], mount_accessor=accessor)
        self.assertEqual(identity.read_entity_alias(alias["id"])["data"]["name"], "py-nora2")
        self.assertIn(alias["id"], identity.list_entity_aliases()["data"]["keys"])
        found = identity.lookup_entity(alias_name="py-nora2", alias_mount_accessor=accessor)["data"]
        self.assertEqual(found["id"], made["id"])
        other = identity.create_or_update_entity("py-other")["data"]["id"]
        identity.merge_entities(from_entity_ids=[other], to_entity_id=made["id"])
        self.assertEqual(identity.read_entity(made["id"])["data"]["merged_entity_ids"], [other])
        self.assertIn("py-nora", identity.list_entities_by_name()["data"]["keys"])
        self.assertIn(made["id"], identity.list_entities()["data"]["key_info"])
        with self.refused(exceptions.InvalidRequest, "policies cannot contain root"):
            identity.create_or_update_entity("py-root", policies=["Root"])
        identity.delete_entity_alias(alias["id"])
        identity.delete_entity(made["id"])
        with self.assertRaises(exceptions.InvalidPath):
            identity.read_entity(made["id"])

    def test_groups(self):
        identity = self.root.secrets.identity
        accessor = self.root.sys.list_auth_methods()["data"]["token/"]["accessor"]
        entity = identity.create_or_update_entity("py-member")["data"]["id"]
        inner = identity.create_or_update_group("py-inner", policies=["p"], member_entity_ids=[entity])["data"]["id"]
        outer = identity.create_or_update_group("py-outer", member_group_ids=[inner])["data"]["id"]
        self.assertEqual(identity.read_entity(entity)["data"]["inherited_group_ids"], [outer])
        identity.update_group(inner, "py-inner", metadata={"k": "v"})
        group = identity.read_group_by_name("py-inner")["data"]
        self.assertEqual(
            (group["metadata"], group["parent_group_ids"], group["member_entity_ids"]), ({"k": "v"}, [outer], [entity])
        )
        with self.refused(exceptions.InvalidRequest, "cyclic relationship detected"):
            identity.update_group(inner, "py-inner", member_group_ids=[outer])
        identity.create_or_update_group_by_name("py-ext", group_type="external")
        ext = identity.lookup_group(name="py-ext")["data"]["id"]
        alias = identity.create_or_update_group_alias("py-ext", mount_accessor=accessor, canonical_id=ext)["data"]["id"]
        identity.update_group_alias(alias, "py-ext2", mount_accessor=accessor, canonical_id=ext)
        self.assertEqual(identity.read_group_alias(alias)["data"]["name"], "py-ext2")
        self.assertIn(alias, identity.list_group_aliases()["data"]["keys"])
        self.assertIn("py-outer", identity.list_groups_by_name()["data"]["keys"])
        self.assertIn(outer, identity.list_groups()["data"]["keys"])
        identity.delete_group_alias(alias)
        identity.delete_group(ext)
        identity.delete_group_by_name("py-inner")
        self.assertIsNone(identity.read_group(outer)["data"]["member_group_ids"] or None)
        identity.delete_group(outer)
        identity.delete_entity_by_name("py-member")


class Transit(Case):
    def test_encrypts_signs_and_rotates(self):
        self.root.sys.enable_secrets_engine("transit", path="py-transit")
        transit = self.root.secrets.transit
        at = {"mount_point": "py-transit"}
        transit.create_key("k", **at)
        batch = [{"plaintext": "b25l"}, {"plaintext": "dHdv"}]
        made = transit.encrypt_data("k", batch_input=batch, **at)["data"]["batch_results"]
        sealed = [{"ciphertext": r["ciphertext"]} for r in made]
        back = transit.decrypt_data("k", batch_input=sealed, **at)["data"]["batch_results"]
        self.assertEqual([r["plaintext"] for r in back], ["b25l", "dHdv"])
        transit.rotate_key("k", **at)
        again = transit.rewrap_data("k", ciphertext=made[0]["ciphertext"], **at)["data"]
        self.assertTrue(again["ciphertext"].startswith("vault:v2:"))
        wrapped = transit.generate_data_key("k", "wrapped", **at)["data"]
        self.assertNotIn("plaintext", wrapped)

        transit.create_key("s", key_type="ecdsa-p256", **at)
        how = {"hash_input": "b25l", "marshaling_algorithm": "jws", **at}
        signature = transit.sign_data("s", **how)["data"]["signature"]
        self.assertIs(transit.verify_signed_data("s", signature=signature, **how)["data"]["valid"], True)
        transit.update_key_configuration("k", deletion_allowed=True, **at)
        transit.delete_key("k", **at)
        self.assertEqual(transit.list_keys(**at)["data"]["keys"], ["s"])
