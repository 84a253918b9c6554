"""From a picture, a folder, a video or a camera to people: found, drawn, followed, written down."""

from ofa_pose.predict.draw import draw_people
from ofa_pose.predict.film import Film, Frame, film_writer
from ofa_pose.predict.predictor import MIN_SCORE, PosePredictor, read_picture, write_picture
from ofa_pose.predict.results import coco_result, describe_person, json_list
from ofa_pose.predict.smoothing import OneEuroSettings, PoseSmoother
from ofa_pose.predict.sources import film_source, find_pictures
from ofa_pose.predict.tracking import OksTracker, oks

__all__ = [
    "MIN_SCORE",
    "Film",
    "Frame",
    "OksTracker",
    "OneEuroSettings",
    "PosePredictor",
    "PoseSmoother",
    "coco_result",
    "describe_person",
    "draw_people",
    "film_source",
    "film_writer",
    "find_pictures",
    "json_list",
    "oks",
    "read_picture",
    "write_picture",
]
