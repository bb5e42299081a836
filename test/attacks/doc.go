// Package attacks replays published advisories against a whole server.
//
// Each test carries the name of its advisory, asserts that the attack is
// refused, and asserts that its legitimate neighbour still works.
package attacks

// Advisories whose surface the server does not have yet. Whoever adds the
// surface adds the test and takes the row out.
//
//	Advisory                          Waits for
//	CVE-2021-42135                    routes of a released version to compare with
//	CVE-2023-0665                     pki
//	OpenBao GH-3518                   pagination limits
//	CVE-2026-55770                    ldap
//	CVE-2026-39946                    database
//	CVE-2023-0620                     SQL storage
//	CVE-2023-2121, CVE-2021-38554     user interface
//	CVE-2024-8185, CVE-2021-3282      raft join and peers
//	CVE-2026-39396                    plugins
//	CVE-2025-62513, CVE-2025-62705    more bodies that are no JSON; those of the OpenID provider are tested
//	CVE-2026-4525                     auth plugins
//	GHSA-444v-8vxr-p36h               agent
//	CVE-2024-7594                     ssh
//	GHSA-g892-p242-8g86               pki
//	CVE-2023-5077                     gcp
//
// CVE-2026-46358 is of a login within another request, which this server does
// not have. CVE-2024-6468 is tested where PROXY headers are read, in
// server/listener. CVE-2023-5954 wants a soak and CVE-2023-25000 a timing test;
// neither is a test of this kind.
