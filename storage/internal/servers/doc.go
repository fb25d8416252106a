// Package servers starts real stores for the tests with the build tag "integration" (make integration): an S3 service, Google's and Azure's
// emulators, and HDFS.
//
//   - What is needed is built or installed once, by go, npm and mvn from their registries in pinned versions, into a folder in the user's cache
//     (weir-servers, or where WEIR_SERVERS says).
//   - A server listens on a free port of the loopback interface, keeps its files in a folder of the test, and is killed when the test ends.
//   - A test whose tools are missing is skipped with the reason.
package servers
