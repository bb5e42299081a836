package cli

// A command is one row of the table below. bind declares its flags and returns
// what runs once they are read.
type command struct {
	name  string // the words that call it
	args  string // what follows the flags, for the usage line
	short string // one line for the list of commands
	needs needs
	bind  func(*flags) action
}

type action func(*call) error

// needs say which common flags a command has.
type needs uint

const (
	onServer needs = 1 << iota // speaks to a server
	withFormat
	withField
	withDetail

	acts   = onServer              // does, and says so
	shows  = onServer | withFormat // prints what is no single answer
	answer = shows | withField     // prints an answer
	lists  = onServer | withFormat | withDetail
)

// commands is every command there is. Their longer help is in help/*.txt.
func commands() []command {
	return []command{
		{"read", "PATH [K=V...]", "Read data and retrieve secrets", answer, bindRead},
		{"write", "PATH [DATA K=V...]", "Write data, configuration, and secrets", answer, bindWrite},
		{"patch", "PATH [DATA K=V...]", "Change parts of what is at a path", answer, bindPatch},
		{"delete", "PATH [K=V...]", "Delete secrets and configuration", answer, bindDelete},
		{"list", "PATH", "List data or secrets", shows, bindList},
		{"login", "[AUTH K=V...]", "Authenticate and keep the token", answer, bindLogin},
		{"unwrap", "[TOKEN]", "Open a wrapped answer", answer, bindUnwrap},
		{"path-help", "PATH", "Show the server's help for a path", shows, bindPathHelp},
		{"status", "", "Print seal and availability status", shows, bindStatus},
		{"server", "", "Start a server", 0, nil},
		{"version", "", "Print the version of this program", 0, bindVersion},
		{"version-history", "", "Print the versions a server has run", shows, bindVersionHistory},
		{"print token", "", "Print the token in use", 0, bindPrintToken},

		{"kv get", "KEY", "Read a key", answer, bindKVGet},
		{"kv put", "KEY [DATA]", "Set a key, replacing its data", answer, bindKVPut},
		{"kv patch", "KEY [DATA]", "Set some fields of a key", answer, bindKVPatch},
		{"kv list", "[PATH]", "List keys", shows, bindKVList},
		{"kv delete", "KEY", "Delete a key or some of its versions", answer, bindKVDelete},
		{"kv undelete", "KEY", "Bring deleted versions back", answer, bindKVUndelete},
		{"kv destroy", "KEY", "Remove versions for good", answer, bindKVDestroy},
		{"kv rollback", "KEY", "Make an earlier version the newest", answer, bindKVRollback},
		{"kv enable-versioning", "MOUNT", "Turn a version 1 mount into version 2", acts, bindKVEnableVersioning},
		{"kv metadata get", "KEY", "Show a key's metadata", answer, bindKVMetadataGet},
		{"kv metadata put", "KEY", "Set a key's settings", answer, bindKVMetadataPut},
		{"kv metadata patch", "KEY", "Set some of a key's settings", answer, bindKVMetadataPatch},
		{"kv metadata delete", "KEY", "Delete a key with all its versions", acts, bindKVMetadataDelete},

		{"transit import", "PATH KEY [OPTIONS K=V...]", "Import a key into transit, wrapped", acts, bindTransitImport},
		{"transit import-version", "PATH KEY [OPTIONS K=V...]", "Import a version of an imported key, wrapped", acts, bindTransitImportVersion},
		{"transit encrypt-file", "PATH FILE", "Encrypt a file of any size with a data key", acts, bindTransitEncryptFile},
		{"transit decrypt-file", "FILE", "Decrypt a file that encrypt-file made", acts, bindTransitDecryptFile},

		{"token create", "", "Make a token", answer, bindTokenCreate},
		{"token lookup", "[TOKEN | ACCESSOR]", "Show a token", answer, bindTokenLookup},
		{"token renew", "[TOKEN]", "Make a token last longer", answer, bindTokenRenew},
		{"token revoke", "[TOKEN | ACCESSOR]", "Revoke a token and its children", acts, bindTokenRevoke},
		{"token capabilities", "[TOKEN] PATH", "Print what a token may do at a path", shows, bindTokenCapabilities},

		{"secrets enable", "TYPE", "Enable a secrets engine", acts, bindSecretsEnable},
		{"secrets disable", "PATH", "Disable a secrets engine", acts, bindSecretsDisable},
		{"secrets list", "", "List secrets engines", lists, bindSecretsList},
		{"secrets tune", "PATH", "Tune a secrets engine", acts, bindSecretsTune},
		{"secrets move", "SOURCE DESTINATION", "Move a secrets engine", acts, bindSecretsMove},
		{"auth enable", "TYPE", "Enable an auth method", acts, bindAuthEnable},
		{"auth disable", "PATH", "Disable an auth method", acts, bindAuthDisable},
		{"auth list", "", "List auth methods", lists, bindAuthList},
		{"auth tune", "PATH", "Tune an auth method", acts, bindAuthTune},
		{"auth move", "SOURCE DESTINATION", "Move an auth method", acts, bindAuthMove},
		{"auth help", "TYPE | PATH", "Show how to log in by an auth method", acts, bindAuthHelp},
		{"audit enable", "TYPE [CONFIG K=V...]", "Enable an audit device", acts, bindAuditEnable},
		{"audit disable", "PATH", "Disable an audit device", acts, bindAuditDisable},
		{"audit list", "", "List audit devices", lists, bindAuditList},

		{"policy list", "", "List policies", shows, bindPolicyList},
		{"policy read", "NAME", "Print a policy", shows, bindPolicyRead},
		{"policy write", "NAME PATH", "Upload a policy from a file, or - for standard input", acts, bindPolicyWrite},
		{"policy delete", "NAME", "Delete a policy", acts, bindPolicyDelete},
		{"policy test", "FILE...", "Try policies on requests, without a server", withFormat, bindPolicyTest},
		{"policy explain", "[ID]", "Explain a refusal, or what would come of a request", answer, bindPolicyExplain},
		{"policy who-can", "PATH CAPABILITY", "List who can do something", shows, bindPolicyWhoCan},
		{"policy what-can", "[ENTITY]", "List what somebody can do", shows, bindPolicyWhatCan},
		{"policy diff", "FILE", "Show what a policy's new text would change, and for whom", shows, bindPolicyDiff},
		{"policy fmt", "PATH", "Format a policy file in place", 0, bindPolicyFmt},

		{"lease lookup", "ID", "Show a lease", answer, bindLeaseLookup},
		{"lease renew", "ID", "Make a lease last longer", answer, bindLeaseRenew},
		{"lease revoke", "ID", "End a lease, or all under a prefix", acts, bindLeaseRevoke},

		{"namespace list", "", "List the namespaces directly below", lists, bindNamespaceList},
		{"namespace lookup", "PATH", "Show a namespace", answer, bindNamespaceLookup},
		{"namespace create", "PATH", "Make a namespace", answer, bindNamespaceCreate},
		{"namespace patch", "PATH", "Change a namespace's notes", answer, bindNamespacePatch},
		{"namespace delete", "PATH", "Delete a namespace with all it holds", acts, bindNamespaceDelete},
		{"namespace lock", "PATH", "Refuse every request in a namespace", answer, bindNamespaceLock},
		{"namespace unlock", "PATH", "Serve a namespace again", acts, bindNamespaceUnlock},

		{"operator init", "", "Initialise a server", shows, bindInit},
		{"operator unseal", "[KEY]", "Give a server one unseal key", shows, bindUnseal},
		{"operator seal", "", "Seal a server", acts, bindSeal},
		{"operator rekey", "[KEY]", "Make new unseal keys", shows, bindRekey},
		{"operator rotate", "", "Rotate the key that encrypts storage", shows, bindRotate},
		{"operator generate-root", "[KEY]", "Make a root token from a quorum of unseal keys", shows, bindGenerateRoot},
		{"operator key-status", "", "Show the key that encrypts storage", shows, bindKeyStatus},
		{"operator members", "", "List the nodes of the cluster", shows, bindMembers},
		{"operator raft snapshot save", "FILE", "Save a snapshot of everything, sealed", acts, bindSnapshotSave},
		{"operator raft snapshot restore", "FILE", "Replace everything by a snapshot", acts, bindSnapshotRestore},
		{"operator raft snapshot inspect", "FILE", "Check a snapshot and show what it holds", withFormat, bindSnapshotInspect},
		{"operator step-down", "", "Make the active node give up its role", acts, bindStepDown},
		{"operator raft join", "[LEADER-API-ADDR]", "Make a node join a cluster", shows, bindRaftJoin},
		{"operator raft list-peers", "", "List the nodes of the log", shows, bindRaftPeers},
		{"operator raft remove-peer", "NODE-ID", "Take a node out of the cluster", acts,
			bindRaftPeer("remove-peer", "Error removing the peer from the raft cluster: %w", "Peer removed successfully!")},
		{"operator raft promote", "NODE-ID", "Let a node vote", acts,
			bindRaftPeer("promote", "Error promoting the node: %w", "Success! The node may vote.")},
		{"operator raft demote", "NODE-ID", "Let a node vote no more", acts,
			bindRaftPeer("demote", "Error demoting the node: %w", "Success! The node votes no more.")},
		{"operator raft autopilot get-config", "", "Show when a node counts as healthy, and when as gone", shows, bindAutopilotGet},
		{"operator raft autopilot set-config", "", "Say when a node counts as healthy, and when as gone", acts, bindAutopilotSet},
		{"operator raft autopilot state", "", "Show how the nodes do", shows, bindAutopilotState},
		{"operator diagnose", "", "Check a server's configuration before it starts", withFormat, bindDiagnose},
	}
}
