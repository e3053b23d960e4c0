package commitlog

import (
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// op is one call that changes a file system.
type op struct {
	kind string // create, remove, write, sync, syncdir, preallocate
	path string
	file vfs.File
	data []byte
	off  int64
}

// hookFS runs every change through hook, which decides what becomes of it.
type hookFS struct {
	vfs.FS
	hook func(o op, do func() (int, error)) (int, error)
}

type hookFile struct {
	vfs.File
	fs   *hookFS
	path string
	dir  bool
}

func (h *hookFS) do(o op, do func() error) error {
	_, err := h.hook(o, func() (int, error) { return 0, do() })
	return err
}

func (h *hookFS) wrap(f vfs.File, err error, path string, dir bool) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &hookFile{File: f, fs: h, path: path, dir: dir}, nil
}

func (h *hookFS) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = h.do(op{kind: "create", path: name}, func() (err error) {
		f, err = h.FS.Create(name, c)
		return err
	})
	return h.wrap(f, err, name, false)
}

func (h *hookFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := h.FS.OpenReadWrite(name, c, o...)
	return h.wrap(f, err, name, false)
}

func (h *hookFS) OpenDir(name string) (vfs.File, error) {
	f, err := h.FS.OpenDir(name)
	return h.wrap(f, err, name, true)
}

func (h *hookFS) Remove(name string) error {
	return h.do(op{kind: "remove", path: name}, func() error { return h.FS.Remove(name) })
}

func (f *hookFile) WriteAt(p []byte, off int64) (int, error) {
	return f.fs.hook(op{kind: "write", path: f.path, file: f.File, data: p, off: off},
		func() (int, error) { return f.File.WriteAt(p, off) })
}

func (f *hookFile) sync(do func() error) error {
	kind := "sync"
	if f.dir {
		kind = "syncdir"
	}
	return f.fs.do(op{kind: kind, path: f.path, file: f.File}, do)
}

func (f *hookFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *hookFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *hookFile) Preallocate(off, n int64) error {
	return f.fs.do(op{kind: "preallocate", path: f.path, file: f.File, off: n},
		func() error { return f.File.Preallocate(off, n) })
}

// diskFS is a file system with a limited number of bytes.
type diskFS struct {
	hookFS
	mu    sync.Mutex
	total int64
	alloc map[string]int64
}

func newDiskFS(fs vfs.FS, total int64) *diskFS {
	d := &diskFS{total: total, alloc: map[string]int64{}}
	d.hookFS = hookFS{FS: fs, hook: d.change}
	return d
}

// free is called with mu held.
func (d *diskFS) free() int64 {
	n := d.total
	for _, a := range d.alloc {
		n -= a
	}
	return n
}

func (d *diskFS) resize(total int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total = total
}

func (d *diskFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return vfs.DiskUsage{AvailBytes: uint64(max(d.free(), 0)), TotalBytes: uint64(d.total)}, nil
}

func (d *diskFS) change(o op, do func() (int, error)) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch o.kind {
	case "create", "remove":
		n, err := do()
		if err == nil {
			delete(d.alloc, o.path)
		}
		return n, err
	case "preallocate":
		grow := max(o.off-d.alloc[o.path], 0)
		if grow > d.free() {
			return 0, syscall.ENOSPC
		}
		d.alloc[o.path] += grow
		return do()
	case "write":
		grow := max(o.off+int64(len(o.data))-d.alloc[o.path], 0)
		if free := max(d.free(), 0); grow > free {
			n := int64(len(o.data)) - grow + free // what still fits
			if n <= 0 {
				return 0, syscall.ENOSPC
			}
			d.alloc[o.path] += free
			m, err := o.file.WriteAt(o.data[:n], o.off)
			if err == nil {
				err = syscall.ENOSPC
			}
			return m, err
		}
		d.alloc[o.path] += grow
		return do()
	}
	return do()
}
