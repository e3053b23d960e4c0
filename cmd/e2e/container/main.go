//go:build linux

// Command container runs the program of an image as a container engine does that
// was told --read-only --cap-drop ALL --security-opt no-new-privileges and given
// one volume. It stands in for the program in tests: its arguments and
// environment are the program's, its process becomes the program's, and the
// directory that POSTRIDER_DATA_DIR names is the volume.
//
// Beside it lie the image's root file system, in root, and image.json. Variables
// that begin with CONTAINER_ are its own:
//
//	CONTAINER_NETWORK=own   a network with a loopback interface and nothing else
//	CONTAINER_EXEC=PID      run beside the program that has this process id, as
//	                        `docker exec` does
//
// It has to be started by root. Anybody else gets the program as it is, as
// somebody does who copied it out of the image.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// image is what the Dockerfile says beside the files.
type image struct {
	Env        []string
	UID, GID   int
	Volume     string
	WorkingDir string
	Entrypoint string
}

func main() {
	runtime.LockOSThread() // namespaces and privileges are a thread's, which becomes the program
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "container:", err)
		os.Exit(125)
	}
}

func run() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir := filepath.Dir(self)
	var img image
	text, err := os.ReadFile(filepath.Join(dir, "image.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &img); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return syscall.Exec(filepath.Join(dir, "root", img.Entrypoint), os.Args, os.Environ())
	}
	given := environment(os.Environ())
	if pid := given["CONTAINER_EXEC"]; pid != "" {
		err = join(pid)
	} else {
		err = isolate(filepath.Join(dir, "root"), img, given)
	}
	if err != nil {
		return err
	}
	if err := os.Chdir(img.WorkingDir); err != nil {
		return err
	}
	if err := drop(img); err != nil {
		return err
	}
	program := img.Entrypoint
	if filepath.Base(os.Args[0]) == "sendmail" {
		program = "/usr/sbin/sendmail"
	}
	return syscall.Exec(program, append([]string{program}, os.Args[1:]...), inside(img, given))
}

func environment(list []string) map[string]string {
	env := map[string]string{}
	for _, kv := range list {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	return env
}

// inside is the environment of the program: the image's, and over it what was
// given.
func inside(img image, given map[string]string) []string {
	env := environment(img.Env)
	for name, value := range given {
		switch {
		case strings.HasPrefix(name, "CONTAINER_"):
		case name == "POSTRIDER_DATA_DIR":
			env[name] = img.Volume
		default:
			env[name] = value
		}
	}
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// isolate makes root the root of everything, read-only but for the volume.
func isolate(root string, img image, given map[string]string) error {
	flags := unix.CLONE_NEWNS | unix.CLONE_NEWIPC
	if given["CONTAINER_NETWORK"] == "own" {
		flags |= unix.CLONE_NEWNET
	}
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if flags&unix.CLONE_NEWNET != 0 {
		if err := raiseLoopback(); err != nil {
			return fmt.Errorf("loopback interface: %w", err)
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the root: %w", err)
	}
	if err := unix.Mount("proc", filepath.Join(root, "proc"), "proc", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, name := range []string{"/etc/hosts", "/etc/resolv.conf"} { // as every engine does
		if err := bind(name, filepath.Join(root, name), true); err != nil {
			return err
		}
	}
	if volume := given["POSTRIDER_DATA_DIR"]; volume != "" {
		if err := prepare(volume, img); err != nil {
			return err
		}
		if err := bind(volume, filepath.Join(root, img.Volume), false); err != nil {
			return err
		}
	}
	if err := unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	return unix.Unmount(".", unix.MNT_DETACH) // the old root, which lies over the new one
}

// prepare gives a new volume the owner that an engine takes from the image.
func prepare(volume string, img image) error {
	if err := os.MkdirAll(volume, 0o711); err != nil {
		return err
	}
	return os.Chown(volume, img.UID, img.GID)
}

func bind(from, to string, readOnly bool) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", from, err)
	}
	if !readOnly {
		return nil
	}
	if err := unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", to, err)
	}
	return nil
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// join enters the namespaces and the root of a program that runs already.
func join(pid string) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns wants a root of one's own
		return err
	}
	var fds []int
	for _, kind := range []string{"ipc", "net", "mnt"} {
		fd, err := unix.Open("/proc/"+pid+"/ns/"+kind, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open a namespace: %w", err)
		}
		fds = append(fds, fd)
	}
	for _, fd := range fds {
		if err := unix.Setns(fd, 0); err != nil {
			return fmt.Errorf("enter a namespace: %w", err)
		}
	}
	return nil
}

// drop gives up all that root could do, now and after the next exec.
func drop(img image) error {
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // there are no more
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(img.GID, img.GID, img.GID)); err != nil {
		return err
	}
	return syscall.Setresuid(img.UID, img.UID, img.UID)
}
