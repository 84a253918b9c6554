"""All measuring, in a folder that needs Python, numpy and a runtime, and nothing else.

`ofa-pose latency build` measures with it, and a bundle carries a copy of it to a device that has
no torch. So it imports neither torch nor anything else of ofa_pose, and itself only relatively.

A unit is timed where it stands, inside a network: only there does it get its input in the layout
that its neighbours leave it in, and only there is it fused with what follows. onnxruntime's own
profiler times every operation and the optimised graph says to which unit an operation belongs;
ncnn, torch and openvino are asked for the same in their own ways. litert tells nothing of the
inside, so that there every unit comes as a network of its own.
"""
