// Package docker examines configs/docker and configs/compose by what reads them
// where they are used: BuildKit, which turns the Dockerfile into the graph of the
// build and the configuration of the image, and the loader of Docker Compose. No
// engine is needed.
package docker
