// SPDX-License-Identifier: MIT OR Apache-2.0
// A client of /dev/ashmem in Go: goroutines on many threads, which the runtime preempts by SIGURG
// every ten milliseconds, make regions, pass one over a socket and wait in calls meanwhile. Prints
// "ok", or says what was wrong and exits 1.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	setName     = 0x41007701
	getName     = 0x81007702
	setSize     = 0x40087703
	getSize     = 0x7704
	setProtMask = 0x40087705
	getProtMask = 0x7706
	pin         = 0x40087707
	unpin       = 0x40087708
	page        = 4096
	protection  = syscall.PROT_READ | syscall.PROT_WRITE
)

func check(holds bool, what string, details ...any) {
	if !holds {
		fmt.Println("not so:", what, details)
		os.Exit(1)
	}
}

func ioctl(fd int, cmd, arg uintptr) (int, syscall.Errno) {
	value, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), cmd, arg)
	return int(value), errno
}

func must(fd int, cmd, arg uintptr) int {
	value, errno := ioctl(fd, cmd, arg)
	check(errno == 0, "an ioctl answers", cmd, errno)
	return value
}

func region(name string, size int) int {
	fd, err := syscall.Open("/dev/ashmem", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	check(err == nil, "open", err)
	bytes := append([]byte(name), 0)
	must(fd, setName, uintptr(unsafe.Pointer(&bytes[0])))
	must(fd, setSize, uintptr(size))
	return fd
}

func work(number int) {
	// A busy goroutine is what the runtime preempts by a signal.
	for turn := 0; turn < 40; turn++ {
		name := fmt.Sprint("go ", number, " ", turn)
		fd := region(name, 4*page)
		memory, err := syscall.Mmap(fd, 0, 4*page, protection, syscall.MAP_SHARED)
		check(err == nil, "mmap", err)
		for round := 0; round < 50; round++ {
			for at := range memory {
				memory[at] = byte(at + turn)
			}
		}
		var told [256]byte
		must(fd, getName, uintptr(unsafe.Pointer(&told[0])))
		check(string(told[:len(name)+1]) == name+"\x00", "the name", name, string(told[:]))
		check(must(fd, getSize, 0) == 4*page, "the size")
		span := [2]uint32{page, page}
		check(must(fd, unpin, uintptr(unsafe.Pointer(&span))) == 0, "unpin")
		check(must(fd, pin, uintptr(unsafe.Pointer(&span))) == 0, "pin")
		must(fd, setProtMask, syscall.PROT_READ)
		check(must(fd, getProtMask, 0) == syscall.PROT_READ, "the mask")
		_, err = syscall.Mmap(fd, 0, page, protection, syscall.MAP_SHARED)
		check(err == syscall.EPERM, "the mask holds", err)
		check(memory[page+1] == byte(page+1+turn), "the content")
		check(syscall.Munmap(memory) == nil && syscall.Close(fd) == nil, "giving back")
	}
}

// pass gives a region to another goroutine by SCM_RIGHTS.
func pass() {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check(err == nil, "socketpair", err)
	go func() {
		fd := region("passed", page)
		memory, err := syscall.Mmap(fd, 0, page, protection, syscall.MAP_SHARED)
		check(err == nil, "mmap", err)
		copy(memory, "from one goroutine")
		rights := syscall.UnixRights(fd)
		check(syscall.Sendmsg(ends[0], []byte{1}, rights, nil, 0) == nil, "sendmsg")
	}()
	byte1, control := make([]byte, 1), make([]byte, syscall.CmsgSpace(4))
	_, length, _, _, err := syscall.Recvmsg(ends[1], byte1, control, 0)
	check(err == nil, "recvmsg", err)
	messages, err := syscall.ParseSocketControlMessage(control[:length])
	check(err == nil && len(messages) == 1, "a message", err)
	fds, err := syscall.ParseUnixRights(&messages[0])
	check(err == nil && len(fds) == 1, "a descriptor", err)
	memory, err := syscall.Mmap(fds[0], 0, page, syscall.PROT_READ, syscall.MAP_SHARED)
	check(err == nil && string(memory[:18]) == "from one goroutine", "what was written", err)
}

func main() {
	runtime.GOMAXPROCS(16)
	var all sync.WaitGroup
	for number := 0; number < 32; number++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			work(number)
		}(number)
	}
	for turn := 0; turn < 20; turn++ {
		pass()
		time.Sleep(time.Millisecond)
	}
	all.Wait()
	fmt.Println("ok")
}
