import mnv2deploy


def test_the_public_names_are_these():
    assert mnv2deploy.__all__ == [
        "ClassScore",
        "ClassificationResult",
        "Detection",
        "DetectionResult",
        "Segment",
        "SegmentationResult",
        "load",
    ]
    assert all(hasattr(mnv2deploy, name) for name in mnv2deploy.__all__)
