package configs

import "time"

// Shutdown is what happens between a stop that was asked for and its end.
type Shutdown struct {
	Delay time.Duration // not ready, and still taking mail; 0: none
	Drain time.Duration // for the queue to empty; 0: it is not waited for
}

func shutdownSection() section {
	return section{"shutdown", "What happens at a stop (SIGTERM), before the 10 seconds in which what is in the air ends. The container's time to stop must be longer than all of it.", []field[Config]{
		one(Key{Path: "shutdown.delay", Env: "POSTRIDER_SHUTDOWN_DELAY", Example: "5s",
			Doc: "How long the relay says that it is not ready, and goes on taking mail all the same, so that whoever spreads connections sees the one before connections are refused."},
			func(c *Config) *time.Duration { return &c.Shutdown.Delay }, shutdownKind()),
		one(Key{Path: "shutdown.drain", Env: "POSTRIDER_SHUTDOWN_DRAIN", Example: "2m",
			Doc: "For storage that is lost with the container: how long to go on delivering, without taking mail, until nothing waits any more. What is deferred is tried again at once, and then every 10 seconds; what is left then is counted in the log. With storage that stays, leave it off: nothing is lost by stopping. With a store in Redis it does nothing."},
			func(c *Config) *time.Duration { return &c.Shutdown.Drain }, shutdownKind()),
	}}
}

// maxShutdown is more than any supervisor waits.
const maxShutdown = time.Hour

func shutdownKind() kind[time.Duration] {
	k := optionalDurationKind()
	parse := k.parse
	k.parse = func(s string) (time.Duration, error) {
		d, err := parse(s)
		if err == nil && d > maxShutdown {
			return 0, wrong("use at most "+FormatDuration(maxShutdown)+", or off", "%s is out of range", FormatDuration(d))
		}
		return d, err
	}
	return k
}
