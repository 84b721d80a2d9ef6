"""Every limit on what a client can make the server hold or do, in one place, each with its reason.

Whoever reaches the ports may drive the simulation: CARLA's protocol has no passwords. What no client may do is end the
server, fill its memory, or keep it from the others for long. Beyond a limit a call gets an error in plain words, or the
connection is closed with a line in the log; other connections notice nothing.
"""

# --- Messages on the RPC port ---
# The largest that scripts send are batches (a SpawnActor with all its attributes has 1 kB). Decoding may take 64 bytes
# of memory for each byte (empty arrays), so this is also 128 MB for an instant.
MAX_MESSAGE_BYTES = 2 << 20
# The one longer message: `generate_opendrive_world`, whose text is a single string. CARLA's own towns have 0.3 to 6 MB.
MAX_XODR_BYTES = 16 << 20
# Of a whole message beside its OpenDRIVE text: method, mesh parameters.
MAX_XODR_OVERHEAD_BYTES = 512
MAX_ARRAY_ITEMS = 16384  # the largest legitimate array is a batch of commands
MAX_MAP_ITEMS = 64  # CARLA's RPC has no maps
# Time for one message from its first byte to its last; a client that stops half-way holds memory for nothing.
MESSAGE_TIMEOUT_S = 60.0
# All half-received messages together; beyond it the client with the longest one is disconnected.
MAX_PARTIAL_BYTES = 64 << 20
LARGE_PARTIAL_BYTES = 256 << 10  # from which on a half-received message is looked at: 128 smaller ones do no harm

# --- Clients ---
MAX_RPC_CONNECTIONS = 128  # when all are taken, one that has never made a call has to go
MAX_STREAM_CONNECTIONS = 512  # when all are taken, one that has not asked for a living stream has to go
# Requests of one client that wait (behind a held tick, or while it does not read its replies) before the client's
# further ones stay in its socket.
MAX_WAITING_REQUESTS = 1000
MAX_WAITING_BYTES = 1 << 20
# Bytes of replies that a client may leave unread before its further requests are left in its socket.
MAX_UNREAD_REPLY_BYTES = 1 << 20
# What one client's requests, or one batch, may take before it is the others' turn.
SLICE_S = 0.02
# Subscriptions that ticks wait for, per stream; and announced ones that never came before a client is not waited for.
MAX_AWAITED_READERS = 64
MAX_MISSED_SUBSCRIPTIONS = 3
MAX_TRAFFIC_MANAGERS = 64  # of one client

# --- Frames that readers have not read yet ---
TRANSPORT_BUFFER_BYTES = 1 << 20
SYNC_QUEUE_BYTES = 84 << 20  # of one reader: 570 frames of 256x144
FRESH_FRAMES = 2
MAX_QUEUED_BYTES = 512 << 20  # of all readers; beyond it the one furthest behind is disconnected

# --- The world ---
MAX_ACTORS = 4096
MAX_BODIES = 1024  # vehicles, walkers, props: what a tick moves and compares
MAX_SENSORS = 256
MAX_FRICTION_TRIGGERS = 64  # every tick compares each with every vehicle
MAX_CAMERAS = 64
MAX_IMAGE_PIXELS = 3840 * 2160  # of one camera
MAX_TOTAL_PIXELS = 4 * MAX_IMAGE_PIXELS  # of all cameras; the renderer holds 36 bytes for each, one of events 16 more
MAX_EVENTS = 4_000_000  # of a frame of an event camera; with 13 bytes each they fit into a reader's queue
MAX_LIDAR_CHANNELS = 1024
MAX_LIDAR_RANGE_M = 2000.0
# Of one lidar: the longest tick's points then still fit into a reader's queue. And of all lidars together.
MAX_POINTS_PER_SECOND = 3_000_000
MAX_TOTAL_POINTS_PER_SECOND = 20_000_000
MAX_RADAR_POINTS_PER_SECOND = 100_000
MAX_ATTACHMENT_DEPTH = 16  # a sensor on a car on a trailer on ...
MAX_COMMANDS_AFTER_SPAWN = 256  # in all `then` of one command of a batch
MAX_COMMAND_DEPTH = 8  # SpawnActor(...).then(SpawnActor(...).then(...))
# Pairs of bodies that one step of the physics resolves: enough for hundreds of cars in traffic, not for a thousand
# inside one another.
MAX_CONTACT_PAIRS = 4096

# --- Numbers and texts ---
MAX_MAGNITUDE = 1e9  # of any number: what is packed as a float32 must stay far from its end
MAX_LOCATION_M = 1e6  # of a coordinate: beyond a thousand km a float32 has no decimetres, nor the Earth a latitude
MAX_SPEED = 300.0  # m/s along an axis; what is pushed harder would only cost the collision search its time
MAX_SPIN_DEG_S = 36_000.0
MIN_MASS_KG, MAX_MASS_KG = 1.0, 1e6
MAX_FRICTION = 1000.0  # CARLA's default is 3.5
MAX_CURVE_POINTS = 64  # of torque and steering curves, gears
MIN_DELTA_S = 1e-6  # CARLA refuses no fixed_delta_seconds, but changes of velocity are divided by it
MAX_PHYSICS_S = 10.0  # of a longer tick the bodies move through no more, as CARLA's do after its last substep
MAX_REAL_DELTA_S = 1.0  # a server that was stopped for a while goes on where it was
MAX_RAY_M = 500.0  # over the ground; beyond it a ray meets nothing
MAX_NAME_LENGTH = 256  # of ids, attribute names and values, host names
MAX_ATTRIBUTES_LENGTH = 4096  # of an actor's attribute values together

# --- Maps ---
MAX_ROAD_M = 1e5  # a slip of the pen beyond it would be sampled until the memory is full
MAX_LANES_M = 1e6  # of all lanes together
MAX_MAP_SPAN_M = 2e4  # from east to west, north to south: the ground is a grid; CARLA's large maps span 10 km
MAX_JUNCTION_SPAN_M = 2e3  # what lies between its lanes is filled on a fine grid
MAP_CHECK_S = 120.0  # in a child process, where a broken map may crash
MAP_CHECK_BYTES = 4 << 30  # of that process's memory

# --- Recordings ---
MAX_PATH_LENGTH = 1024  # of a file's name with its folders
MAX_RECORDING_BYTES = 4 << 30  # an hour of 100 vehicles at 20 frames a second has 1 GB
MIN_FREE_DISK_BYTES = 256 << 20  # recordings leave so much to others
DISK_CHECK_BYTES = 16 << 20  # after which a recording looks at the disk again
MAX_RECORDED_FRAME_BYTES = 64 << 20  # of a file that is read; a frame of 4096 actors has 3 MB
MAX_RECORDED_FRAMES = 4_000_000  # 55 hours at 20 frames a second; the replayer keeps 16 bytes of each
MAX_WANTED_ACTOR_ID = 1 << 30  # which a recording may give its actors anew; clients count in 32 bits
MAX_RECORDED_ACTORS = 1 << 16  # over a whole recording
MAX_REPORT_CHARACTERS = 256 << 20  # of a text about one: what scenario_runner asks about a long route

# --- The log ---
MAX_WARNINGS_PER_METHOD = 5  # of one client: a script that errs at every tick must not fill a disk
MAX_WARNINGS_PER_CLIENT = 50
MAX_LINES, LINES_PERIOD_S = 50, 10.0  # of the whole log; a line then says how many were left out
