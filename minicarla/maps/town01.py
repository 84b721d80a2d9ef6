"""Town01: the project's own copy of the small town that CARLA's routes run through, in the same coordinates.

Centre lines as measured on the road network of CARLA's Town01 (m, OpenDRIVE frame: CARLA's y is minus this y). Straight
roads are given by their ends; the corners, and the east road, which is straight only to 0.1 m, by their lines and arcs.
"""

from minicarla.maps.layout import JunctionPlan, RoadPlan, SpeedSign, lay_out, straight
from minicarla.maps.opendrive import Point, RoadNetwork, Segment

ROADS = (
    straight(0, (384.590, -0.020), (348.230, -0.001), ("R11", "J26")),
    straight(1, (325.630, 0.011), (168.080, 0.043), ("J26", "J54")),
    straight(2, (144.960, 0.046), (102.690, 0.050), ("J54", "J110")),
    straight(3, (79.380, 0.042), (11.030, 0.020), ("J110", "R13")),
    straight(4, (101.420, -131.415), (325.640, -131.515), ("J306", "J278")),
    straight(5, (10.010, -328.540), (79.640, -328.577), ("R20", "J87")),
    straight(6, (101.620, -328.589), (325.720, -328.610), ("J87", "J143")),
    straight(7, (347.730, -328.610), (384.080, -328.610), ("J143", "R14")),
    RoadPlan(
        8,
        Point(394.350, -318.540, 1.57119),
        (
            Segment(77.2156),
            Segment(0.0888, -0.002),
            Segment(153.8778),
            Segment(0.7055, -0.002),
            Segment(76.8023),
        ),
        "R14",
        "R11",
    ),
    straight(9, (101.390, -57.499), (144.990, -57.493), ("J171", "J332")),
    straight(10, (167.170, -57.491), (325.160, -57.471), ("J332", "J222")),
    RoadPlan(
        11,
        Point(384.590, -0.020, -0.00053),
        (Segment(1.0324), Segment(6.9378, -0.115661), Segment(6.9705, -0.110327), Segment(0.8819)),
        "R0",
        "R8",
    ),
    straight(12, (101.420, -197.141), (325.670, -197.159), ("J255", "J194")),
    RoadPlan(
        13,
        Point(-0.030, -9.960, 1.57041),
        (Segment(1.3826), Segment(6.9535, -0.121958), Segment(7.0781, -0.102013), Segment(1.8028)),
        "R15",
        "R3",
    ),
    RoadPlan(
        14,
        Point(394.350, -318.540, -1.57041),
        (Segment(1.1679), Segment(7.2066, -0.118019), Segment(7.3399, -0.098185), Segment(0.6674)),
        "R8",
        "R7",
    ),
    straight(15, (-0.030, -9.960), (0.010, -317.600), ("R13", "R20")),
    straight(16, (336.893, -10.790), (336.872, -46.420), ("J26", "J222")),
    straight(17, (336.858, -69.030), (336.827, -120.580), ("J222", "J278")),
    straight(18, (336.813, -143.670), (336.788, -185.650), ("J278", "J194")),
    straight(19, (336.774, -209.160), (336.708, -317.450), ("J194", "J143")),
    RoadPlan(
        20,
        Point(10.010, -328.540, 3.14106),
        (Segment(0.6514), Segment(7.7111, -0.114908), Segment(7.9339, -0.086252), Segment(0.4077)),
        "R5",
        "R15",
    ),
    straight(21, (90.372, -11.240), (90.377, -46.150), ("J110", "J171")),
    straight(22, (90.380, -68.150), (90.388, -119.840), ("J171", "J306")),
    straight(23, (90.392, -141.840), (90.398, -186.330), ("J306", "J255")),
    straight(24, (90.402, -208.330), (90.418, -317.300), ("J255", "J87")),
    straight(25, (156.067, -11.020), (156.024, -46.200), ("J54", "J332")),
)

JUNCTIONS = (
    JunctionPlan(26, 8.00),
    JunctionPlan(54, 7.45),
    JunctionPlan(87, 10.90),
    JunctionPlan(110, 7.60),
    JunctionPlan(143, 8.65),
    JunctionPlan(171, 7.90),
    JunctionPlan(194, 8.55),
    JunctionPlan(222, 9.05),
    JunctionPlan(255, 8.55),
    JunctionPlan(278, 8.80),
    JunctionPlan(306, 8.25),
    JunctionPlan(332, 8.45),
)

SPEED_SIGNS = (
    SpeedSign(0, 17.5, -1, 30),
    SpeedSign(1, 12.5, -1, 60),
    SpeedSign(1, 143.9, -1, 30),
    SpeedSign(5, 15.8, -1, 60),
    SpeedSign(5, 50.4, -1, 30),
    SpeedSign(5, 50.8, 1, 30),
    SpeedSign(6, 6.6, -1, 90),
    SpeedSign(6, 180.6, -1, 60),
    SpeedSign(6, 201.9, -1, 30),
    SpeedSign(8, 7.1, 1, 30),
    SpeedSign(8, 17.8, -1, 90),
    SpeedSign(8, 29.5, 1, 60),
    SpeedSign(8, 271.7, -1, 60),
    SpeedSign(8, 280.5, 1, 90),
    SpeedSign(8, 286.3, -1, 30),
    SpeedSign(15, 13.3, -1, 90),
    SpeedSign(15, 117.8, 1, 30),
    SpeedSign(15, 285.0, -1, 30),
    SpeedSign(15, 291.6, 1, 90),
    SpeedSign(17, 45.7, 1, 30),
    SpeedSign(22, 47.4, 1, 30),
)


def network() -> RoadNetwork:
    """26 roads, 12 T-junctions, 36 traffic lights."""
    return lay_out("Town01", ROADS, JUNCTIONS, SPEED_SIGNS)
